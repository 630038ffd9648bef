"""Spike trains from files written here as their publishers write them, and the synthetic set."""

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="the interop extra")

from experiments import data_spike_trains as data  # noqa: E402
from experiments.store import LoadError  # noqa: E402


def test_trains_are_put_in_order_of_time_binned_and_cut():
    samples = [(np.array([0.5, 0.25]), np.array([9, 3])), (np.zeros(0), np.zeros(0, int))]
    trains = data.gathered(samples, np.array([7, 19]), 10)
    np.testing.assert_array_equal(trains.times, [0.25, 0.5])
    np.testing.assert_array_equal(trains.units, [3, 9])
    np.testing.assert_array_equal(trains.starts, [0, 2, 2])
    spikes = data.raster(trains, 0, 6, 0.1)
    assert np.argwhere(spikes).tolist() == [[2, 3], [5, 9]]
    assert not data.raster(trains, 1, 6, 0.1).any()
    with pytest.raises(ValueError, match="must lie in 5 steps, got steps 2 to 5"):
        data.raster(trains, 0, 5, 0.1)
    cut = data.until(trains, 0.5)
    np.testing.assert_array_equal(cut.starts, [0, 1, 1])
    assert np.argwhere(data.raster(cut, 0, 5, 0.1)).tolist() == [[2, 3]]


def test_events_of_n_mnist_are_unpacked_bit_by_bit(tmp_path):
    for digit in range(10):
        (tmp_path / str(digit)).mkdir()
        (tmp_path / str(digit) / "00001.bin").write_bytes(b"")
    # x 33, y 2, polarity 1, 0x12345 us; then x 0, y 0, polarity 0, 5 us
    events = bytes([33, 2, 0x81, 0x23, 0x45, 0, 0, 0, 0, 5])
    (tmp_path / "4" / "00001.bin").write_bytes(events)
    trains = data.neuromorphic_mnist(tmp_path)
    np.testing.assert_array_equal(trains.units, [0, 2 * (34 * 2 + 33) + 1])
    np.testing.assert_allclose(trains.times, [5e-6, 0x12345 * 1e-6], rtol=1e-6)
    np.testing.assert_array_equal(trains.labels, range(10))
    np.testing.assert_array_equal(np.diff(trains.starts), [0, 0, 0, 0, 2, 0, 0, 0, 0, 0])
    for content, told in (
        (events[:-1], "multiple of 5 bytes"),
        (bytes([34] + 4 * [0]), "below 34"),
    ):
        (tmp_path / "4" / "00001.bin").write_bytes(content)
        with pytest.raises(LoadError, match=told):
            data.neuromorphic_mnist(tmp_path)
    (tmp_path / "4" / "00001.bin").unlink()
    with pytest.raises(LoadError, match="files of events"):
        data.neuromorphic_mnist(tmp_path)


def write_heidelberg(path, samples, labels):
    """As the publishers do: arrays of unequal lengths, times in float16."""
    with h5py.File(path, "w") as file:
        for column, (name, kind) in enumerate((("times", np.float16), ("units", np.uint16))):
            spikes = file.create_dataset(
                f"spikes/{name}", (len(samples),), h5py.vlen_dtype(np.dtype(kind))
            )
            for k, sample in enumerate(samples):
                spikes[k] = np.asarray(sample[column], kind)
        file["labels"] = np.asarray(labels, np.uint8)


def test_words_of_shd_are_read_sample_by_sample(tmp_path):
    path = tmp_path / "shd_test.h5"
    samples = [([0.5, 0.25, 0.5], [3, 699, 7]), ([], []), ([0.125], [0])]
    write_heidelberg(path, samples, [19, 4, 0])
    trains = data.heidelberg(path)
    np.testing.assert_array_equal(trains.times, np.float32([0.25, 0.5, 0.5, 0.125]))
    np.testing.assert_array_equal(trains.units, [699, 3, 7, 0])
    np.testing.assert_array_equal(trains.starts, [0, 3, 3, 4])
    np.testing.assert_array_equal(trains.labels, [19, 4, 0])
    assert trains.size == 700
    part = data.heidelberg(path, slice(1, None))
    np.testing.assert_array_equal(part.starts, [0, 0, 1])
    np.testing.assert_array_equal(part.labels, [4, 0])


@pytest.mark.parametrize(
    "samples, labels, told",
    [
        ([([0.1], [700])], [0], "sample 0: expected units below 700, found 700"),
        ([([], []), ([-0.5], [1])], [0, 0], "sample 1: expected times from 0 s, found -0.5"),
        ([([0.1, 0.2], [1])], [0], r"found \(2,\) and \(1,\)"),
        ([([0.1], [1])], [0, 1], "one for each of 1 samples, found 2"),
    ],
)
def test_a_damaged_file_of_shd_is_refused_by_sample(tmp_path, samples, labels, told):
    path = tmp_path / "shd_test.h5"
    write_heidelberg(path, samples, labels)
    with pytest.raises(LoadError, match=told):
        data.heidelberg(path)


def test_what_is_no_file_of_shd_is_refused(tmp_path):
    path = tmp_path / "shd_test.h5"
    path.write_bytes(b"spikes")
    with pytest.raises(LoadError, match="expected HDF5"):
        data.heidelberg(path)
    with h5py.File(path, "w") as file:
        file["labels"] = np.zeros(2)
    with pytest.raises(LoadError, match="spikes/times: expected a dataset"):
        data.heidelberg(path)


def test_synthetic_digits_tell_their_class_by_channel_and_more_by_time():
    """Nearest class means: over channels alone, and over channels and tenths of a second."""
    trains, tested = (data.spoken_digits(200, seed=seed) for seed in (0, 1))
    assert trains.units.max() < 700
    assert 0 <= trains.times.min() <= trains.times.max() < 1
    assert set(np.diff(trains.starts)) == {5_000}
    np.testing.assert_array_equal(np.bincount(trains.labels), 10)

    def seen(trains, bins):
        samples = np.repeat(np.arange(200), np.diff(trains.starts))
        at = samples, np.floor(trains.times * bins).astype(int), trains.units // 20
        counts = np.zeros((200, bins, 35))
        np.add.at(counts, at, 1)
        return counts.reshape(200, -1)

    right = []
    for bins in (1, 10):
        a, b = seen(trains, bins), seen(tested, bins)
        means = np.stack([a[trains.labels == c].mean(axis=0) for c in range(20)])
        decided = np.argmin(((b[:, None] - means[None]) ** 2).sum(axis=2), axis=1)
        right.append(np.mean(decided == tested.labels))
    assert 0.5 < right[0] < right[1]  # chance is 0.05; 0.89 and 0.96 with these seeds
    with pytest.raises(ValueError, match="multiple of 20 classes"):
        data.spoken_digits(30)
