//! Plonky3 behind a C ABI, for benchmarks/fields.py, and in `stark` for benchmarks/stark.py. Elements are in Montgomery form, as Plonky3 keeps them.

mod stark;

use std::slice::from_raw_parts_mut;

use p3_baby_bear::{BabyBear, default_babybear_poseidon2_16};
use p3_dft::{Radix2DitParallel, TwoAdicSubgroupDft};
use p3_field::{Field, PackedValue, PrimeField32, TwoAdicField};
use p3_koala_bear::{KoalaBear, default_koalabear_poseidon2_16};
use p3_matrix::dense::RowMajorMatrix;
use p3_symmetric::Permutation;

type Packing<F> = <F as Field>::Packing;

/// Permutes `count` packed groups in place: `16 * width` elements each, the states side by side.
unsafe fn permute<F: Field, P: Permutation<[Packing<F>; 16]>>(perm: &P, data: *mut u32, groups: usize) {
    let states = unsafe { from_raw_parts_mut(data.cast::<[Packing<F>; 16]>(), groups) };
    for state in states {
        perm.permute_mut(state);
    }
}

/// Transforms the columns of a matrix of `height` rows of `width` elements, in place.
unsafe fn transform<F: TwoAdicField + PrimeField32>(dft: &Radix2DitParallel<F>, data: *mut u32, height: usize, width: usize) {
    let values = unsafe { Vec::from_raw_parts(data.cast::<F>(), height * width, height * width) };
    let matrix = RowMajorMatrix::new(values, width);
    let out = dft.dft_batch(matrix);
    std::mem::forget(std::hint::black_box(out));
}

#[unsafe(no_mangle)]
pub extern "C" fn lanes() -> usize {
    <BabyBear as Field>::Packing::WIDTH
}

/// # Safety
/// `data` has `16 * lanes() * groups` elements, aligned as vectors are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn permute_babybear(data: *mut u32, groups: usize) {
    unsafe { permute::<BabyBear, _>(&default_babybear_poseidon2_16(), data, groups) }
}

/// # Safety
/// `data` has `16 * lanes() * groups` elements, aligned as vectors are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn permute_koalabear(data: *mut u32, groups: usize) {
    unsafe { permute::<KoalaBear, _>(&default_koalabear_poseidon2_16(), data, groups) }
}

#[unsafe(no_mangle)]
pub extern "C" fn new_dft() -> *mut Radix2DitParallel<BabyBear> {
    Box::into_raw(Box::default())
}

/// # Safety
/// `dft` comes from `new_dft`, and `data` has `height * width` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dft_babybear(dft: *const Radix2DitParallel<BabyBear>, data: *mut u32, height: usize, width: usize) {
    unsafe { transform(&*dft, data, height, width) }
}
