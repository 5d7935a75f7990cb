//! Plonky3's STARKs for benchmarks/stark.py, as its own benchmarks make them: KoalaBear with an extension of degree 4,
//! a Merkle tree of Keccak, blowup 2, 100 queries, 16 bits of work.

use std::slice::from_raw_parts;

use p3_challenger::{HashChallenger, SerializingChallenger32};
use p3_commit::ExtensionMmcs;
use p3_dft::Radix2DitParallel;
use p3_field::extension::BinomialExtensionField;
use p3_field::PrimeCharacteristicRing;
use p3_fri::{FriParameters, TwoAdicFriPcs};
use p3_keccak::{Keccak256Hash, KeccakF, VECTOR_LEN};
use p3_keccak_air::KeccakAir;
use p3_koala_bear::{
    GenericPoseidon2LinearLayersKoalaBear, KOALABEAR_POSEIDON2_HALF_FULL_ROUNDS as HALF_FULL_ROUNDS,
    KOALABEAR_POSEIDON2_PARTIAL_ROUNDS_16 as PARTIAL_ROUNDS, KOALABEAR_POSEIDON2_RC_16_EXTERNAL_FINAL,
    KOALABEAR_POSEIDON2_RC_16_EXTERNAL_INITIAL, KOALABEAR_POSEIDON2_RC_16_INTERNAL,
    KOALABEAR_S_BOX_DEGREE as S_BOX_DEGREE, KoalaBear,
};
use p3_matrix::dense::RowMajorMatrix;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_poseidon2_air::{RoundConstants, VectorizedPoseidon2Air, generate_vectorized_trace_rows};
use p3_symmetric::{CompressionFunctionFromHasher, PaddingFreeSponge, SerializingHasher};
use p3_uni_stark::{Proof, StarkConfig, prove, verify};

type Challenge = BinomialExtensionField<KoalaBear, 4>;
type Sponge = PaddingFreeSponge<KeccakF, 25, 17, 4>;
type Compress = CompressionFunctionFromHasher<Sponge, 2, 4>;
type Tree = MerkleTreeMmcs<[KoalaBear; VECTOR_LEN], [u64; VECTOR_LEN], SerializingHasher<Sponge>, Compress, 2, 4>;
type ChallengeTree = ExtensionMmcs<KoalaBear, Challenge, Tree>;
type Challenger = SerializingChallenger32<KoalaBear, HashChallenger<u8, Keccak256Hash, 32>>;
type Pcs = TwoAdicFriPcs<KoalaBear, Radix2DitParallel<KoalaBear>, Tree, ChallengeTree>;
type Config = StarkConfig<Pcs, Challenge, Challenger>;

const WIDTH: usize = 16;
const LANES: usize = 8;
const LOG_BLOWUP: usize = 1;
type Poseidon2Air = VectorizedPoseidon2Air<
    KoalaBear,
    GenericPoseidon2LinearLayersKoalaBear,
    WIDTH,
    S_BOX_DEGREE,
    0,
    HALF_FULL_ROUNDS,
    PARTIAL_ROUNDS,
    LANES,
>;

enum Air {
    Poseidon2(Box<Poseidon2Air>),
    Keccak,
}

/// A table that waits to be proven, and then its proof.
pub struct Task {
    config: Config,
    parameters: [usize; 3],
    air: Air,
    table: Option<RowMajorMatrix<KoalaBear>>,
    proof: Option<Proof<Config>>,
}

fn task(air: Air, table: RowMajorMatrix<KoalaBear>) -> *mut Task {
    let sponge = Sponge::new(KeccakF {});
    let tree = Tree::new(SerializingHasher::new(sponge), Compress::new(sponge), 3);
    let parameters = FriParameters::new_benchmark(ChallengeTree::new(tree.clone()));
    assert_eq!(parameters.log_blowup, LOG_BLOWUP);
    let said = [parameters.conjectured_soundness_bits(), parameters.blowup(), parameters.num_queries];
    let config = Config::new(Pcs::new(Default::default(), tree, parameters), Challenger::from_hasher(vec![], Keccak256Hash {}));
    Box::into_raw(Box::new(Task { config, parameters: said, air, table: Some(table), proof: None }))
}

/// The table of `count` permutations, eight a row, of canonical states of sixteen elements.
///
/// # Safety
/// `states` has `16 * count` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stark_poseidon2(states: *const u32, count: usize) -> *mut Task {
    let constants = RoundConstants::new(
        KOALABEAR_POSEIDON2_RC_16_EXTERNAL_INITIAL,
        KOALABEAR_POSEIDON2_RC_16_INTERNAL,
        KOALABEAR_POSEIDON2_RC_16_EXTERNAL_FINAL,
    );
    let numbers = unsafe { from_raw_parts(states, WIDTH * count) };
    let inputs = numbers.chunks_exact(WIDTH).map(|state| std::array::from_fn(|i| KoalaBear::from_u32(state[i]))).collect();
    let table = generate_vectorized_trace_rows::<
        _,
        GenericPoseidon2LinearLayersKoalaBear,
        WIDTH,
        S_BOX_DEGREE,
        0,
        HALF_FULL_ROUNDS,
        PARTIAL_ROUNDS,
        LANES,
    >(inputs, &constants, LOG_BLOWUP);
    task(Air::Poseidon2(Box::new(Poseidon2Air::new(constants))), table)
}

/// The table of `count` random permutations, 24 rows each, padded to a power of two of rows.
#[unsafe(no_mangle)]
pub extern "C" fn stark_keccak(count: usize) -> *mut Task {
    task(Air::Keccak, KeccakAir {}.generate_random_trace_rows(count, LOG_BLOWUP))
}

/// # Safety
/// `task` comes from one of the functions above, and has not been proven yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stark_prove(task: *mut Task) {
    let task = unsafe { &mut *task };
    let table = task.table.take().expect("a task is proven once");
    let proof = match &task.air {
        Air::Poseidon2(air) => prove(&task.config, air.as_ref(), table, &[]),
        Air::Keccak => prove(&task.config, &KeccakAir {}, table, &[]),
    };
    task.proof = Some(proof.expect("the table is right"));
}

/// Whether the proof holds.
///
/// # Safety
/// `task` has been proven.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stark_verify(task: *const Task) -> bool {
    let task = unsafe { &*task };
    let proof = task.proof.as_ref().expect("there is a proof");
    match &task.air {
        Air::Poseidon2(air) => verify(&task.config, air.as_ref(), proof, &[]).is_ok(),
        Air::Keccak => verify(&task.config, &KeccakAir {}, proof, &[]).is_ok(),
    }
}

/// Bits of conjectured security, the blowup and the queries, in this order.
///
/// # Safety
/// `task` comes from one of the functions above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stark_parameter(task: *const Task, number: usize) -> usize {
    unsafe { &*task }.parameters[number]
}

/// The proof's length in bytes, in the encoding of postcard.
///
/// # Safety
/// `task` has been proven.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stark_bytes(task: *const Task) -> usize {
    let proof = unsafe { &*task }.proof.as_ref().expect("there is a proof");
    postcard::to_allocvec(proof).expect("a proof can be serialized").len()
}

/// # Safety
/// `task` comes from one of the functions above, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stark_free(task: *mut Task) {
    drop(unsafe { Box::from_raw(task) });
}
