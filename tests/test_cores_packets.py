"""Kernel arguments to packets and back: an ideal core in plain Python stands between; the golden reference judges."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaindp.cores import Core, Transfer, load_core
from chaindp.cores.packets import PACKETS, bit_reversal, padded
from chaindp.errors import InputError, PluginError
from chaindp.kernels import BUILTIN, Args
from chaindp.kernels.hashes import KECCAK_RATE, golden_keccak_f, pack
from chaindp.kernels.merkle import level_offsets
from core_rtl import description

SPECS = {spec.name: spec for spec in BUILTIN if spec.name in PACKETS}

STREAMS: dict[str, dict[str, Mapping[str, object]]] = {
    "keccak256": {},
    "sha256": {},
    "merkle_root": {"input": {"bytes": 32}, "output": {"bytes": 32}},
    "merkle_tree": {"input": {"bytes": 32}, "output": {"bytes": 16, "user_bits": 6}},
    "poseidon2": {"input": {"bytes": 16}, "output": {"bytes": 64}},
    "ntt": {"input": {"bytes": 4, "user_bits": 5}, "output": {"bytes": 4}},
}


DESCRIPTIONS: list[Path] = []


@pytest.fixture(scope="module", autouse=True)
def descriptions(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where ``core_of`` writes its descriptions: hypothesis calls it where no fixture of a test can."""
    DESCRIPTIONS.append(tmp_path_factory.mktemp("cores"))


@functools.cache
def core_of(kernel: str, *options: tuple[str, object]) -> Core:
    """A description of a core for a kernel; its RTL is never read."""
    folder = DESCRIPTIONS[-1]
    (folder / "none.sv").write_text("")
    tables: dict[str, Mapping[str, object]] = {"core": {"kernel": kernel, "name": "ideal"}, **STREAMS[kernel]}
    if options:
        tables["options"] = dict(options)
    path = folder / "core.toml"
    path.write_text(description("none", **tables))
    return load_core(path)


def transfer_of(packets: Sequence[bytes], user: Sequence[int] | None = None) -> Transfer:
    """What a simulation returns where these packets came out."""
    data, offsets = pack(packets)
    nothing = np.zeros(len(packets), dtype=np.int64)
    return Transfer(
        data=data,
        offsets=offsets,
        user=None if user is None else np.array(user, dtype=np.uint32),
        cycles=1,
        in_stalls=0,
        out_stalls=0,
        latency=0,
        lost=np.zeros(len(packets), dtype=bool),
        accepted=nothing,
        finished=nothing,
        in_beats=0,
        out_beats=0,
        simulated=1,
        seconds=0.0,
        faults=(),
    )


def sent(core: Core, args: Args) -> list[bytes]:
    """The packets that a kernel's arguments become."""
    packed = PACKETS[core.kernel].pack(core, args)
    assert len(packed.out_bytes) == len(packed.offsets) - 1
    bounds = packed.offsets.tolist()
    return [packed.data[start:stop].tobytes() for start, stop in pairwise(bounds)]


def through(core: Core, args: Args, ideal: Any) -> np.ndarray:
    """Arguments to packets, each through ``ideal``, and back."""
    packets = PACKETS[core.kernel]
    checked = packets.check(*args)
    if not packets.operations(checked):
        return packets.nothing(checked)
    out = [ideal(packet) for packet in sent(core, checked)]
    assert [len(packet) for packet in out] == packets.pack(core, checked).out_bytes.tolist()
    return packets.unpack(core, checked, transfer_of(out))


messages = st.lists(st.binary(max_size=300), max_size=6)


@given(messages)
def test_messages_are_packets_as_they_are(given_messages: list[bytes]) -> None:
    core = core_of("keccak256")
    assert sent(core, pack(given_messages)) == given_messages


@given(messages)
def test_keccak_padded_by_the_host(given_messages: list[bytes]) -> None:
    def absorb(packet: bytes) -> bytes:
        """Keccak-256 of a message that is padded already: the sponge alone."""
        assert len(packet) % KECCAK_RATE == 0
        lanes = [0] * 25
        for start in range(0, len(packet), KECCAK_RATE):
            for lane in range(KECCAK_RATE // 8):
                at = start + 8 * lane
                lanes[lane] ^= int.from_bytes(packet[at : at + 8], "little")
            lanes = golden_keccak_f(lanes)
        return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])

    core = core_of("keccak256", ("padding", "host"))
    args = pack(given_messages)
    assert np.array_equal(through(core, args, absorb), SPECS["keccak256"].golden(*args))


@given(messages)
def test_sha256_padded_by_the_host(given_messages: list[bytes]) -> None:
    data, offsets = padded("sha256", *pack(given_messages))
    bounds = offsets.tolist()
    for message, (start, stop) in zip(given_messages, pairwise(bounds), strict=True):
        packet = data[start:stop].tobytes()
        assert packet.startswith(message + b"\x80")
        assert len(packet) % 64 == 0
        assert len(packet) - len(message) in range(9, 73)
        assert packet[-8:] == (8 * len(message)).to_bytes(8, "big")
        assert set(packet[len(message) + 1 : -8]) <= {0}


def test_offsets_need_not_use_all_of_the_data() -> None:
    data = np.arange(100, dtype=np.uint8)
    offsets = np.array([0, 10, 10, 70], dtype=np.int64)
    for kernel in ("keccak256", "sha256"):
        blocks, bounds = padded(kernel, data, offsets)
        assert blocks[bounds[2] : bounds[2] + 60].tobytes() == data[10:70].tobytes()


@given(st.integers(0, 40), st.integers(0, 2**32 - 1), st.sampled_from(["keccak256", "sha256"]))
def test_a_root(count: int, seed: int, hash_name: str) -> None:
    leaves = np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)

    def ideal(packet: bytes) -> bytes:
        assert packet == leaves.tobytes()
        return SPECS["merkle_root"].golden(leaves, hash_name).tobytes()  # type: ignore[no-any-return]

    result = through(core_of("merkle_root", ("hash", hash_name)), (leaves, hash_name), ideal)
    expected = SPECS["merkle_root"].golden(leaves, hash_name)
    assert result.dtype == expected.dtype
    assert np.array_equal(result, expected)


def streamed(nodes: np.ndarray, count: int) -> Iterator[tuple[int, bytes]]:
    """The nodes above the leaves with their levels, in the order of a core that takes leaf after leaf."""
    bounds = level_offsets(count).tolist()
    sizes = np.diff(bounds).tolist()
    done = [0] * len(sizes)
    if count == 1:
        yield 0, nodes[0].tobytes()
    for leaf in range(count):
        done[0] += 1
        for level in range(1, len(sizes)):
            last = leaf == count - 1
            while done[level] < (sizes[level] if last else done[level - 1] // 2):
                yield level, nodes[bounds[level] + done[level]].tobytes()
                done[level] += 1


def tree_transfer(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[tuple[int, bytes]]]:
    leaves = np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8)
    nodes = SPECS["merkle_tree"].golden(leaves, "keccak256")
    return leaves, nodes, list(streamed(nodes, count))


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_nodes_of_a_tree_find_their_levels(count: int, seed: int) -> None:
    leaves, nodes, order = tree_transfer(count, seed)
    core = core_of("merkle_tree")
    packets = PACKETS["merkle_tree"]
    args = packets.check(leaves, "keccak256")
    packed = packets.pack(core, args)
    content = b"".join(node for _, node in order)
    assert packed.out_bytes.tolist() == [len(content)]
    # Two beats a node, and its level with each.
    users = [level for level, _ in order for _ in range(2)]
    assert np.array_equal(packets.unpack(core, args, transfer_of([content], users)), nodes)


def test_no_leaves_are_one_zero_digest() -> None:
    leaves = np.zeros((0, 32), dtype=np.uint8)
    for kernel in ("merkle_tree", "merkle_root"):
        result = through(core_of(kernel), (leaves, "keccak256"), None)
        assert np.array_equal(result, SPECS[kernel].golden(leaves, "keccak256"))


def unpack_tree(count: int, order: list[tuple[int, bytes]], users: list[int] | None = None) -> np.ndarray:
    core, packets = core_of("merkle_tree"), PACKETS["merkle_tree"]
    args = packets.check(np.zeros((count, 32), dtype=np.uint8), "keccak256")
    users = [level for level, _ in order for _ in range(2)] if users is None else users
    return packets.unpack(core, args, transfer_of([b"".join(node for _, node in order)], users))


def test_levels_that_no_tree_has() -> None:
    _, _, order = tree_transfer(5, 1)
    levels = [level for level, _ in order]
    assert levels == [1, 1, 2, 1, 2, 3]
    wrong = [(2, node) if index == 1 else (level, node) for index, (level, node) in enumerate(order)]
    with pytest.raises(PluginError, match=r"tuser says 2 of level 1, 3 of level 2, 1 of level 3, and a tree of"):
        unpack_tree(5, wrong)
    with pytest.raises(PluginError, match="the last node is of level 2, and the root is of level 3"):
        unpack_tree(5, [*order[:4], order[5], order[4]])
    users = [level for level in levels for _ in range(2)]
    users[1] = 2
    with pytest.raises(PluginError, match="tuser says"):
        unpack_tree(5, order, users)
    with pytest.raises(PluginError, match="tuser says 1 of level 3, and a tree of 1 leaves has 1 of level 0"):
        unpack_tree(1, [(3, bytes(32))])


@given(st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_states(count: int, seed: int) -> None:
    spec = SPECS["poseidon2"]
    (states, field) = spec.generate(np.random.default_rng(seed), count)

    def ideal(packet: bytes) -> bytes:
        row = np.frombuffer(packet, dtype="<u4").astype(np.uint32).reshape(1, -1)
        return spec.golden(row, field).astype("<u4").tobytes()  # type: ignore[no-any-return]

    result = through(core_of("poseidon2"), (states, field), ideal)
    assert result.dtype == np.uint32
    assert np.array_equal(result, spec.golden(states, field))


@given(st.integers(0, 4), st.integers(0, 6), st.integers(0, 2**32 - 1), st.sampled_from(["natural", "bit_reversed"]))
def test_transforms(rows: int, log2_size: int, seed: int, order: str) -> None:
    spec = SPECS["ntt"]
    values = np.random.default_rng(seed).integers(0, 2**31 - 2**27 + 1, (rows, 1 << log2_size), dtype=np.uint32)

    def ideal(packet: bytes) -> bytes:
        row = np.frombuffer(packet, dtype="<u4").astype(np.uint32).reshape(1, -1)
        out = spec.golden(row, "babybear")[0]
        # The element at place i of a core in bit-reversed order is the one at i with its bits in reverse.
        places = [int(format(i, f"0{log2_size}b")[::-1], 2) if log2_size else 0 for i in range(len(out))]
        return (out[places] if order == "bit_reversed" else out).astype("<u4").tobytes()  # type: ignore[no-any-return]

    core = core_of("ntt", ("order", order))
    assert np.array_equal(through(core, (values, "babybear"), ideal), spec.golden(values, "babybear"))
    packed = PACKETS["ntt"].pack(core, PACKETS["ntt"].check(values, "babybear"))
    assert packed.user is not None
    assert packed.user.tolist() == [log2_size] * rows


def test_bit_reversal() -> None:
    assert bit_reversal(0).tolist() == [0]
    assert bit_reversal(3).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]


def test_what_a_core_refuses() -> None:
    leaves = np.zeros((3, 32), dtype=np.uint8)
    tree = PACKETS["merkle_tree"]
    assert "not with sha256" in tree.refusal(core_of("merkle_tree"), (leaves, "sha256"))
    assert tree.refusal(core_of("merkle_tree"), (leaves, "keccak256")) == ""
    transform = PACKETS["ntt"]
    small = core_of("ntt", ("max_log2_size", 4))
    values = np.zeros((1, 32), dtype=np.uint32)
    assert "its largest transform is 2^4" in transform.refusal(small, transform.check(values, "babybear"))
    assert transform.refusal(small, transform.check(values[:, :16], "babybear")) == ""
    assert "not over other" in PACKETS["poseidon2"].refusal(core_of("poseidon2"), (None, "other"))
    assert PACKETS["keccak256"].refusal(core_of("keccak256"), pack([])) == ""


def test_a_level_that_tuser_cannot_say() -> None:
    core = core_of("merkle_tree")
    narrow = dataclasses.replace(core, output=dataclasses.replace(core.output, user_bits=2))
    leaves = np.zeros((9, 32), dtype=np.uint8)
    assert "cannot say level 4" in PACKETS["merkle_tree"].refusal(narrow, (leaves, "keccak256"))
    assert PACKETS["merkle_tree"].refusal(narrow, (leaves[:8], "keccak256")) == ""


@pytest.mark.parametrize(
    ("kernel", "args"),
    [
        ("keccak256", (np.zeros(3, np.uint8), np.array([0, 4]))),
        ("merkle_tree", (np.zeros((3, 31), np.uint8), "keccak256")),
        ("merkle_root", (np.zeros((3, 32), np.uint8), "md5")),
        ("poseidon2", (np.zeros((3, 15), np.uint32), "babybear")),
        ("poseidon2", (np.full((1, 16), 2**31, np.uint32), "babybear")),
        ("ntt", (np.zeros((1, 3), np.uint32), "babybear")),
        ("ntt", (np.zeros((1, 4), np.uint32), "goldilocks")),
    ],
)
def test_bad_arguments_are_input_errors(kernel: str, args: Args) -> None:
    with pytest.raises(InputError):
        PACKETS[kernel].check(*args)


def test_the_usual_arguments_may_be_left_out() -> None:
    leaves = np.zeros((3, 32), dtype=np.uint8)
    assert PACKETS["merkle_tree"].check(leaves)[1] == "keccak256"
    assert PACKETS["poseidon2"].check(np.zeros((1, 16), np.uint32))[1] == "babybear"
    assert PACKETS["ntt"].check(np.zeros((1, 16), np.uint32))[1:] == ("babybear", 4)


def test_the_padding_of_the_example_of_the_standard() -> None:
    data, offsets = padded("sha256", *pack([b"abc"]))
    # FIPS 180-4, 5.1.1.
    assert data.tobytes() == b"abc\x80" + bytes(52) + (24).to_bytes(8, "big")
    assert offsets.tolist() == [0, 64]
