"""The OpenCL backend in every form: memory of its own or the host's, all vector widths, streamed, broken, too large."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaindp.errors import InputError, PluginError, UsageError
from chaindp.kernels import TRIE_HASH
from chaindp.kernels.hashes import generate_pairs, generate_ragged, pack
from chaindp.kernels.kernelset import KernelSet
from chaindp.plugins import Registry, load_plugins
from chaindp_opencl import driver, hashing, program
from chaindp_opencl.hashing import portions
from chaindp_opencl.memory import Limits
from chaindp_opencl.tuning import HashTuning, candidates, default, forget, store
from opencl_devices import TINY, kernels_of, needs_device, opened, tuning

pytestmark = needs_device

HASHES = ("keccak256", "sha256")

FORMS: dict[str, dict[str, Any]] = {
    "default": {},
    "one core": {"threads": 1},
    "own memory": {"unified": False},
    "4 lanes": {"tuned": tuning(4)},
    "2 lanes, own memory": {"tuned": tuning(2, items=1, unroll=1), "unified": False},
    "1 lane": {"tuned": tuning(1)},
    "1 lane, own memory": {"tuned": tuning(1, unroll=4), "unified": False},
    "gpu": {"kind": "gpu"},
    "gpu, groups of 3": {"kind": "gpu", "tuned": tuning(1, group=3)},
    "streamed": {"limits": TINY},
    "streamed, own memory": {"limits": TINY, "unified": False},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


@pytest.fixture(scope="module")
def cpu(registry: Registry) -> KernelSet:
    return registry.kernel_set(registry.open_backend("cpu", threads=2))


# Compilers for CPUs take half a minute over a work-group of several work-items.
LONG_TO_COMPILE = ("gpu", "gpu, groups of 3")


@pytest.fixture(
    scope="module",
    params=[pytest.param(form, marks=[pytest.mark.slow] * (form in LONG_TO_COMPILE)) for form in FORMS],
)
def kernels(request: pytest.FixtureRequest) -> Iterator[KernelSet]:
    backend = opened(**FORMS[request.param])
    yield kernels_of(backend)
    backend.close()


def assert_same(found: Any, expected: Any) -> None:
    for one, other in zip(_parts(found), _parts(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def _parts(value: Any) -> tuple[np.ndarray, ...]:
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.parametrize("name", HASHES)
def test_hashes_are_the_cpus(kernels: KernelSet, cpu: KernelSet, name: str) -> None:
    rng = np.random.default_rng(1)
    batches = [generate_pairs(rng, count) for count in (1, 2, 7, 8, 9, 15, 16, 17, 33, 400)]
    batches += [generate_ragged(rng, count) for count in (1, 2, 9, 17, 150)]
    batches += [pack([]), pack([b""]), pack([b""] * 20), pack([rng.bytes(size) for size in range(280)])]
    for batch in batches:
        assert_same(kernels.call(name, *batch), cpu.call(name, *batch))


@pytest.mark.parametrize("name", HASHES)
def test_trees_are_the_cpus(kernels: KernelSet, cpu: KernelSet, name: str) -> None:
    rng = np.random.default_rng(2)
    for count in [*range(18), 31, 33, 64, 65, 100, 257, 1000]:
        leaves = rng.integers(0, 256, (count, 32), dtype=np.uint8)
        nodes = cpu.merkle_tree(leaves, name)
        assert_same(kernels.merkle_tree(leaves, name), nodes)
        changed = np.flatnonzero(rng.random(count) < 0.3).astype(np.int64)
        update = (nodes, count, changed, leaves[changed] ^ np.uint8(1), name)
        assert_same(kernels.merkle_update(*update), cpu.merkle_update(*update))
        opening = (nodes, count, rng.permutation(count).astype(np.int64), name)
        assert_same(kernels.merkle_open(*opening), cpu.merkle_open(*opening))


def test_tries_are_the_cpus(registry: Registry, cpu: KernelSet) -> None:
    # Not streamed: a trie that the device cannot hold is refused.
    for form in ("default", "own memory", "4 lanes", "1 lane, own memory"):
        backend = opened(**FORMS[form])
        for count in (1, 2, 17, 300):
            trie = TRIE_HASH.generate(np.random.default_rng(count), count)
            assert_same(kernels_of(backend).trie_hash(*trie), cpu.trie_hash(*trie))
        backend.close()


@settings(max_examples=25)
@given(
    st.lists(st.binary(max_size=300), max_size=40),
    st.sampled_from(HASHES),
    st.sampled_from([form for form in FORMS if form not in LONG_TO_COMPILE]),
)
def test_any_messages(messages: list[bytes], name: str, form: str) -> None:
    backend = _kept(form)
    assert_same(backend.call(name, *pack(messages)), _kept("cpu").call(name, *pack(messages)))


_KEPT: dict[str, KernelSet] = {}


def _kept(form: str) -> KernelSet:
    if form not in _KEPT:
        registry = load_plugins()
        opens = (
            registry.kernel_set(registry.open_backend("cpu")) if form == "cpu" else kernels_of(opened(**FORMS[form]))
        )
        _KEPT[form] = opens
    return _KEPT[form]


@pytest.mark.parametrize("unified", [True, False])
def test_chained_kernels_leave_their_buffers_on_the_device(
    cpu: KernelSet, unified: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened(unified=unified, profile=True)
    fetched: list[int] = []
    read = backend.memory._read
    monkeypatch.setattr(backend.memory, "_read", lambda buffer, to: (fetched.append(len(to)), read(buffer, to)))
    data, offsets = generate_pairs(np.random.default_rng(3), 64)
    source = backend.upload(data)
    backend.synchronize()
    backend.take_device_times()
    leaves = backend.keccak256(source, offsets)
    nodes = backend.merkle_tree(leaves)
    indices = np.arange(64, dtype=np.int64)
    paths = backend.merkle_open(nodes, 64, indices)
    backend.synchronize()
    times = backend.take_device_times()
    assert times is not None
    assert times.compute_ns > 0
    assert fetched == []
    expected = cpu.merkle_tree(cpu.keccak256(data, offsets))
    assert_same(backend.download(nodes), expected)
    assert_same(backend.download(paths), cpu.merkle_open(expected, 64, indices))
    assert len(fetched) == (0 if unified else 2)
    backend.close()


@pytest.mark.parametrize("unified", [True, False])
def test_threads_share_a_backend(cpu: KernelSet, unified: bool) -> None:
    backend = opened(unified=unified)
    rng = np.random.default_rng(4)
    work = [generate_ragged(rng, 200) for _ in range(8)]
    found: list[Any] = [None] * len(work)

    def run(number: int) -> None:
        kernels = kernels_of(backend)
        for _ in range(5):
            found[number] = kernels.keccak256(*work[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for batch, digests in zip(work, found, strict=True):
        assert_same(digests, cpu.keccak256(*batch))
    backend.close()


@pytest.mark.parametrize("unified", [True, False])
def test_threads_share_a_buffer(cpu: KernelSet, unified: bool) -> None:
    """One thread's tree, opened by others before anybody waited for it."""
    backend = opened(unified=unified)
    leaves = np.random.default_rng(9).integers(0, 256, (500, 32), dtype=np.uint8)
    indices = np.arange(500, dtype=np.int64)
    expected = cpu.merkle_open(cpu.merkle_tree(leaves), 500, indices)
    for _ in range(5):
        nodes = backend.merkle_tree(backend.upload(leaves))
        found: list[Any] = []

        def work(nodes: Any = nodes, found: list[Any] = found) -> None:
            found.append(backend.download(backend.merkle_open(nodes, 500, indices)))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        for paths in found:
            assert_same(paths, expected)
    backend.close()


def test_streams_alternate_between_two_queues_and_fetch_from_the_one_that_is_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What overlaps: a portion's digests come from the queue that the next portion then goes to."""
    backend = opened(limits=TINY, unified=False)
    seen: list[tuple[str, int]] = []
    read, send = backend.memory._read, backend.memory.send
    queue = lambda: backend.queues._lease().current  # noqa: E731
    monkeypatch.setattr(backend.memory, "_read", lambda *a: (seen.append(("fetch", queue())), read(*a))[1])
    monkeypatch.setattr(backend.memory, "send", lambda *a: (seen.append(("send", queue())), send(*a))[1])
    backend.keccak256(*generate_pairs(np.random.default_rng(10), 200))
    steps = len([what for what, _ in seen if what == "send"])
    assert steps > 4
    start = [("send", 0), ("send", 1)]
    middle = [(what, number % 2) for number in range(2, steps) for what in ("fetch", "send")]
    end = [("fetch", steps % 2), ("fetch", (steps + 1) % 2)]
    assert seen == start + middle + end
    backend.close()


def test_nothing_is_read_past_the_callers_arrays() -> None:
    """Leaves, messages and nodes that end where a page ends that may not be read: a process that reads on is killed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FENCE)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "read nothing else"


FENCE = """
    import ctypes, mmap
    import numpy as np
    from chaindp.backend import BackendOptions
    from chaindp.kernels import TRIE_HASH
    from chaindp.kernels.fields import BABYBEAR, random_elements
    from chaindp_opencl.backend import OpenClBackend

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def fenced(array):
        pages = -(-array.nbytes // mmap.PAGESIZE) + 1
        room = mmap.mmap(-1, pages * mmap.PAGESIZE)
        whole = np.frombuffer(room, np.uint8)
        last = (pages - 1) * mmap.PAGESIZE
        assert libc.mprotect(whole.ctypes.data + last, mmap.PAGESIZE, 0) == 0
        end = whole[last - array.nbytes : last].view(array.dtype).reshape(array.shape)
        end[...] = array
        return end

    backend = OpenClBackend("opencl", BackendOptions(threads=1))
    rng = np.random.default_rng(1)
    for count in (1, 2, 3, 5, 9, 15, 17, 31, 33, 129):
        leaves = fenced(rng.integers(0, 256, (count, 32), dtype=np.uint8))
        for name in ("keccak256", "sha256"):
            nodes = fenced(backend.download(backend.merkle_tree(leaves, name)))
            some = np.arange(0, count, 2, dtype=np.int64)
            backend.download(backend.merkle_update(nodes, count, some, fenced(leaves[some].copy()), name)[1])
            backend.download(backend.merkle_open(nodes, count, fenced(some), name))
        sizes = rng.integers(0, 300, count)
        offsets = fenced(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
        data = fenced(rng.integers(0, 256, int(offsets[-1]), dtype=np.uint8)) if offsets[-1] else np.zeros(0, np.uint8)
        for name in ("keccak256", "sha256"):
            backend.download(getattr(backend, name)(data, offsets))
        trie = TRIE_HASH.generate(rng, count)
        backend.download(backend.trie_hash(*(fenced(part) if part.nbytes else part for part in trie)))
        backend.download(backend.poseidon2(fenced(random_elements(rng, (count, 16), BABYBEAR))))
    challenge = fenced(random_elements(rng, (4,), BABYBEAR))
    for log2_size in (*range(10), 12):
        values = fenced(random_elements(rng, (3, 1 << log2_size), BABYBEAR))
        backend.download(backend.intt(values))
        backend.download(backend.lde(values, 4, 31))
        backend.download(backend.fri_fold(fenced(random_elements(rng, (2 << log2_size, 4), BABYBEAR)), challenge, 31))
    print("read nothing else")
"""


def test_device_times_are_of_the_calls_since_the_last_time() -> None:
    backend = opened(profile=True)
    kernels = kernels_of(backend)
    assert opened().take_device_times() is None
    kernels.keccak256(*generate_pairs(np.random.default_rng(5), 1000))
    (call,) = kernels.take_calls()
    assert call.device is not None
    assert 0 < call.device.compute_ns <= call.device.span_ns <= call.compute_ns + call.transfer_ns
    left = backend.take_device_times()
    assert left is not None
    assert left.compute_ns == left.transfer_ns == left.span_ns == 0
    backend.close()


# what goes wrong ------------------------------------------------------------------------------------------------------


def test_buffers_of_another_instance_are_refused() -> None:
    one, other = opened(), opened()
    leaves = other.upload(np.zeros((4, 32), np.uint8))
    with pytest.raises(InputError, match="another device"):
        one.merkle_tree(leaves)
    with pytest.raises(PluginError, match="of another device"):
        one.download(leaves)
    with pytest.raises(PluginError, match="a ndarray"):
        one.download(np.zeros(3))


def test_a_buffer_of_the_wrong_form_is_refused_as_an_array_is() -> None:
    backend = opened()
    with pytest.raises(InputError, match=r"leaves has shape \[4, 31\], expected \[N,32\]"):
        backend.merkle_tree(backend.upload(np.zeros((4, 31), np.uint8)))
    with pytest.raises(InputError, match="data has dtype int64"):
        backend.keccak256(backend.upload(np.zeros(4, np.int64)), np.array([0, 4], np.int64))


def test_a_program_that_does_not_build_shows_why(monkeypatch: pytest.MonkeyPatch) -> None:
    text = program.source("keccak256.cl")
    monkeypatch.setattr(program, "source", lambda name: text.replace("rotate(", "rotata("))
    backend = opened()
    with pytest.raises(PluginError, match=r"building keccak256\.cl") as caught:
        backend.keccak256(*pack([b"abc"]))
    assert "rotata" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_memory_is_an_error_and_the_next_call_works(monkeypatch: pytest.MonkeyPatch, cpu: KernelSet) -> None:
    backend = opened(unified=False)
    batch = generate_ragged(np.random.default_rng(6), 100)

    def refuse(size: int) -> Any:
        import pyopencl

        del size
        return pyopencl.Buffer(backend.queues.context, pyopencl.mem_flags.READ_WRITE, 1 << 62)

    with monkeypatch.context() as patch:
        patch.setattr(backend.memory, "_pool", SimpleNamespace(allocate=refuse))
        with pytest.raises(PluginError, match="out of device memory"):
            backend.upload(batch[0])
    assert_same(kernels_of(backend).keccak256(*batch), cpu.keccak256(*batch))


def test_a_lost_device_is_an_error_that_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, cpu: KernelSet
) -> None:
    import pyopencl

    backend = opened()
    batch = generate_pairs(np.random.default_rng(7), 10)

    class Lost:
        def __call__(self, *args: Any, **named: Any) -> Any:
            raise _runtime_error("DEVICE_NOT_AVAILABLE")

    def _runtime_error(status: str) -> Exception:
        code = getattr(pyopencl.status_code, status)
        record = pyopencl._cl._ErrorRecord(msg="", code=code, routine="clEnqueueNDRangeKernel")
        return pyopencl.RuntimeError(record)  # type: ignore[no-any-return]

    monkeypatch.setattr(backend.queues, "kernel", lambda *_: (Lost(), 64))
    with pytest.raises(PluginError, match="lost"):
        kernels_of(backend).keccak256(*batch)
    assert len(cpu.keccak256(*batch)) == 10
    assert_same(kernels_of(opened()).keccak256(*batch), cpu.keccak256(*batch))


def test_messages_larger_than_the_device_are_refused() -> None:
    backend = opened(limits=TINY)
    data = np.zeros(10_000, np.uint8)
    with pytest.raises(
        InputError, match="a message of 9,000 bytes is more than one work-item hashes here, 4,096 bytes"
    ):
        kernels_of(backend).keccak256(data, np.array([0, 9_000, 10_000], np.int64))


def test_a_trie_larger_than_the_device_is_refused() -> None:
    backend = opened(limits=TINY)
    with pytest.raises(InputError, match="trie"):
        kernels_of(backend).trie_hash(*TRIE_HASH.generate(np.random.default_rng(8), 300))


@pytest.mark.parametrize(
    "tuned", [{"lanes": 3}, {"lanes": 16}, {"group": 0}, {"unroll": 5}, {"width": 2}, {"items": "4"}]
)
def test_a_tuning_that_is_none_is_refused(tuned: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="tuning of keccak256"):
        opened(tuned={"keccak256": {"lanes": 8, "items": 1, "group": 1, "unroll": 1, **tuned}})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("[1]", "not a file of tunings"),
        ("[" * 100_000, "is no JSON"),
        ('{"%s": {"keccak256": {"lanes": 3, "items": 1, "group": 1, "unroll": 1}}}', "it is stored in"),
        ('{"%s": {"keccak256": {"lanes": true, "items": 1, "group": 1, "unroll": 1}}}', "it is stored in"),
        ('{"%s": {"sha256": {}}}', "it is stored in"),
    ],
)
def test_a_broken_file_of_tunings_is_named(
    content: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "chaindp" / "opencl-tuning.json"
    file.parent.mkdir()
    file.write_text(content.replace("%s", driver.select("").key))
    with pytest.raises(PluginError, match=said) as caught:
        opened()
    assert str(file) in str(caught.value)


def test_what_is_stored_is_used_until_it_is_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    other = {"lanes": 2, "items": 3, "group": 1, "unroll": 1}
    assert store("", {"keccak256": other}) == str(tmp_path / "chaindp" / "opencl-tuning.json")
    assert opened()._hasher("keccak256").tuning == HashTuning(**other)
    assert opened(tuned=tuning(4))._hasher("keccak256").tuning.lanes == 4
    assert forget("")
    assert not forget("")
    assert opened()._hasher("keccak256").tuning == default(driver.select(""), "keccak256")
    with pytest.raises(UsageError, match="lanes is 5"):
        store("", {"keccak256": {**other, "lanes": 5}})


def test_candidates_begin_with_the_default_and_are_tunings() -> None:
    device = driver.select("")
    for name in HASHES:
        found = candidates(device, name)
        assert found[0] == default(device, name)
        assert len(set(found)) == len(found) > 3
        for one in found:
            assert HashTuning.of({key: getattr(one, key) for key in HashTuning.__slots__}, name) == one


# sizes that no machine of ours holds ----------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 1 << 34), min_size=1, max_size=50),
    st.integers(1, 1 << 33),
)
def test_portions_cover_all_messages_in_order_and_fit(sizes: list[int], chunk: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    runs = list(portions(offsets, chunk))
    assert [first for first, _ in runs] == [0, *(last for _, last in runs[:-1])]
    assert runs[-1][1] == len(sizes)
    for first, last in runs:
        assert last - first == 1 or offsets[last] - offsets[first] + 40 * (last - first) <= chunk


def test_positions_beyond_32_bits_reach_the_kernels_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments as the driver gets them for a batch of 2^33 nodes at byte 2^40: nothing is run."""
    backend = opened()
    hasher = backend._hasher("keccak256")
    seen: list[Any] = []

    def kernel(queue: Any, size: Any, local: Any, *args: Any, **named: Any) -> Any:
        seen.extend([size, *args])

    monkeypatch.setattr(backend.queues, "kernel", lambda *_: (kernel, 64))
    monkeypatch.setattr(backend.queues, "note", lambda *_: None)
    hasher.pairs(None, 1 << 40, None, 1 << 41, 1 << 33)
    (size,), _, at, _, to, count, whole, *_, items = seen
    assert (int(at), int(to), int(count), int(whole)) == (1 << 40, 1 << 41, 1 << 33, 1 << 33)
    assert at.dtype == to.dtype == count.dtype == np.uint64
    assert size * int(items) * hasher.tuning.lanes >= 1 << 33


@pytest.mark.slow
def test_a_message_and_a_batch_beyond_2_to_the_31_bytes(cpu: KernelSet) -> None:
    import hashlib

    kernels = kernels_of(opened(limits=Limits(resident=4 << 30, chunk=1 << 28, staging=1 << 20, message=4 << 30)))
    size = (1 << 31) + 77
    data = np.zeros(size, np.uint8)
    data[-100:] = np.arange(100)
    data[1 << 20] = 7
    offsets = np.array([0, size - 50, size], np.int64)
    digests = kernels.sha256(data, offsets)
    assert digests[0].tobytes() == hashlib.sha256(data[:-50]).digest()
    assert digests[1].tobytes() == hashlib.sha256(data[-50:]).digest()
    many = np.arange(0, size, 64, dtype=np.int64)
    assert_same(kernels.sha256(data, many)[-3:], cpu.sha256(data[many[-4] :], many[-4:] - many[-4]))
    streamed = kernels_of(opened(limits=Limits(resident=1 << 30, chunk=1 << 28, staging=1 << 20, message=1 << 30)))
    assert_same(streamed.sha256(data, many)[-3:], cpu.sha256(data[many[-4] :], many[-4:] - many[-4]))


def test_blocks_are_what_the_units_say() -> None:
    from chaindp.kernels.hashes import keccak256_units, sha256_units

    lengths = np.arange(300)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    data = np.zeros(int(offsets[-1]), np.uint8)
    assert hashing.blocks_of("keccak256", lengths).sum() == keccak256_units(data, offsets)
    assert hashing.blocks_of("sha256", lengths).sum() == sha256_units(data, offsets)
