"""Hashes of field elements composed of ``poseidon2``, and commitments to rows: Plonky3's figures, and both devices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from chaindp.backend import BackendOptions
from chaindp.errors import InputError
from chaindp.kernels.commit import COMMITMENTS, commit_rows, compress_pairs, hash_rows
from chaindp.kernels.fields import FIELDS, random_elements
from chaindp.kernels.hashes import GOLDEN_HASHES
from chaindp.kernels.kernelset import KernelSet
from chaindp.kernels.poseidon2 import golden_permutation
from chaindp_cpu import KERNELS, SCALAR, chaindp_backends

# Plonky3, p3-symmetric 0.8.0: computed with PaddingFreeSponge<_, 16, 8, 8> over the default permutations.
SPONGE = (
    (
        "babybear",
        "1092840939",
        "288977565 523965036 192286486 1859021723 1965568109 203674654 1801647572 1524066462",
    ),
    (
        "babybear",
        "688031214 947022505 1464061010 103685448 184878818 1800808197 517908656",
        "1816046421 966224927 444329109 1963520290 1702288527 722179926 1945816164 95263286",
    ),
    (
        "babybear",
        "274204701 903395821 1636051979 1505667721 1855045239 286402796 531410849 1493814776",
        "1331374275 857575204 1120513458 1837477663 1627838040 983520280 43597711 960578556",
    ),
    (
        "babybear",
        "795000296 30801206 1382196481 1523480966 61751658 1537415894 1005360468 624875797 1595244513",
        "1102746309 815878536 447400011 16429456 526914996 1014306177 1472009390 1398102408",
    ),
    (
        "babybear",
        (
            "107009991 1076972414 777411287 490372426 732213110 1684752275 1892607375 791544839 2003038207 "
            "1871762507 666080045 1611036995 631018447 792056760 550364702 1541293816 1839439847 834456091 "
            "1450246642 1607711668"
        ),
        "1190287555 779235589 1384118239 996936087 1409873684 1656415590 615800563 813641877",
    ),
    (
        "koalabear",
        "1121586550",
        "2025257491 312652976 687703390 850646618 1710976671 478150042 295731625 1959067243",
    ),
    (
        "koalabear",
        "1448723045 1969436314 1169235627 1649691445 603365928 584176472 1465455474",
        "420205885 268985105 436055934 1617214951 915297722 196029237 589412841 1014556490",
    ),
    (
        "koalabear",
        "629443756 1589749071 2097855986 1670562629 464746513 535050103 647761592 692179398",
        "173687644 829288544 1292390926 725827392 923562573 1276546736 570211231 970432425",
    ),
    (
        "koalabear",
        "1442667053 1103245693 1975737168 664550928 719426353 1140867637 1062067168 1872239191 188673814",
        "751432361 1197441153 623646709 1314467973 1687607284 1343942721 1919351513 1848908730",
    ),
    (
        "koalabear",
        (
            "2069442744 2042425293 1997156188 467175538 313067828 863553532 2121185668 1987206259 "
            "1378713701 1950847842 230998660 2090013423 509960849 1377775727 470803825 1368295707 555587493 "
            "84990757 1047943988 643138474"
        ),
        "667606824 1497527023 1741564828 291044753 1246445893 937296138 40637853 286577540",
    ),
)

# Likewise with TruncatedPermutation<_, 2, 8, 16>.
COMPRESSION = (
    (
        "babybear",
        (
            "1277426262 1094890936 1851556971 1087301492 885213624 1943495012 524879442 1532293500 "
            "1227289924 649297243 102241064 1373511652 1243472572 1417809416 770755970 1824966793"
        ),
        "1977184781 26901979 601916190 387150850 1304046266 1940019462 70059330 865363812",
    ),
    (
        "koalabear",
        (
            "1992299789 109467456 714968017 606279604 179536400 512290719 1552081859 1007108434 270055912 "
            "600443279 652020828 434048969 392104538 826367648 429705639 1892228351"
        ),
        "582337502 2109604221 13603766 250256394 1059144481 1400374616 1160860729 679121599",
    ),
)


@pytest.fixture(scope="module", params=["", SCALAR])
def kernels(request: pytest.FixtureRequest) -> Iterator[KernelSet]:
    backend = chaindp_backends()[0].factory(BackendOptions(device=request.param))
    yield KernelSet(backend, frozenset(KERNELS))
    backend.close()


def numbers(text: str) -> np.ndarray:
    return np.array([text.split()], dtype=np.uint32)


@pytest.mark.parametrize(("field", "row", "digest"), SPONGE)
def test_the_sponge_meets_plonky3(kernels: KernelSet, field: str, row: str, digest: str) -> None:
    assert np.array_equal(hash_rows(kernels, numbers(row), field), numbers(digest))


@pytest.mark.parametrize(("field", "pair", "digest"), COMPRESSION)
def test_the_compression_meets_plonky3(kernels: KernelSet, field: str, pair: str, digest: str) -> None:
    assert np.array_equal(compress_pairs(kernels, numbers(pair), field), numbers(digest))


def leaf(row: list[int], hash_name: str, field: str) -> bytes:
    if hash_name in GOLDEN_HASHES:
        return GOLDEN_HASHES[hash_name](b"".join(value.to_bytes(4, "little") for value in row))
    state = [0] * 16
    for start in range(0, len(row), 8):
        part = row[start : start + 8]
        state = golden_permutation(part + state[len(part) :], field)
    return b"".join(value.to_bytes(4, "little") for value in state[:8])


def parent(pair: bytes, hash_name: str, field: str) -> bytes:
    if hash_name in GOLDEN_HASHES:
        return GOLDEN_HASHES[hash_name](pair)
    state = golden_permutation([int.from_bytes(pair[i : i + 4], "little") for i in range(0, 64, 4)], field)
    return b"".join(value.to_bytes(4, "little") for value in state[:8])


@pytest.mark.parametrize("hash_name", COMMITMENTS)
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("count", "width"), [(1, 3), (2, 8), (16, 11)])
def test_a_commitment_is_the_tree_over_the_rows(
    kernels: KernelSet, hash_name: str, field: str, count: int, width: int
) -> None:
    rows = random_elements(np.random.default_rng(count), (count, width), FIELDS[field])
    before = rows.copy()
    nodes = commit_rows(kernels, rows, hash_name, field)
    level = [leaf(row, hash_name, field) for row in rows.tolist()]
    expected = list(level)
    while len(level) > 1:
        level = [parent(a + b, hash_name, field) for a, b in zip(level[::2], level[1::2], strict=True)]
        expected += level
    assert (nodes.shape, nodes.dtype) == ((2 * count - 1, 32), np.uint8)
    assert [node.tobytes() for node in nodes] == expected
    assert np.array_equal(rows, before)
    if count == 16:
        (path,) = kernels.merkle_open(nodes, count, np.array([5], dtype=np.int64))
        node = expected[5]
        for height, sibling in enumerate(path):
            other = sibling.tobytes()
            node = parent(other + node if 5 >> height & 1 else node + other, hash_name, field)
        assert node == expected[-1]


def test_bad_rows_get_one_clear_line(kernels: KernelSet) -> None:
    rows = np.zeros((4, 3), dtype=np.uint32)
    for args, says in (
        ((rows[:3],), "rows has 3 rows, expected a power of two"),
        ((rows[:0],), "rows has 0 rows"),
        ((rows, "md5"), "hash 'md5' is unknown, expected one of keccak256, sha256, poseidon2"),
        ((rows[:, :0], "poseidon2"), "rows of 0 elements"),
        ((rows + np.uint32(2**31 - 1), "poseidon2"), "is not below babybear's"),
        ((rows, "poseidon2", "goldilocks"), "field 'goldilocks' is unknown"),
        ((rows.astype(np.int64),), "rows has dtype int64"),
    ):
        with pytest.raises(InputError, match=says):
            commit_rows(kernels, *args)
