"""Data sets of spike trains: files of SHD, SSC and N-MNIST, and a synthetic set like SHD.

Nothing is downloaded. SHD and SSC are an HDF5 file a partition; N-MNIST is a folder of classes 0 to
9 with a file of 5-byte events a sample.

Source: Cramer et al. (2022), IEEE TNNLS 33:2744, for SHD and SSC; Orchard et al. (2015), Front.
Neurosci. 9:437, for N-MNIST.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from experiments.store import LoadError, read_bytes

CHANNELS, SIDE = 700, 34  # of SHD and SSC; of N-MNIST's sensor, with two polarities
EVENT_BYTES = 5


class SpikeTrains(NamedTuple):
    """Samples one behind the other, each in order of time."""

    times: Float[np.ndarray, " spikes"]  # s
    units: Int[np.ndarray, " spikes"]
    starts: Int[np.ndarray, " samples+1"]  # sample k is starts[k] up to starts[k + 1]
    labels: Int[np.ndarray, " samples"]
    size: int  # number of units


def gathered(
    samples: Iterable[tuple[np.ndarray, np.ndarray]], labels: np.ndarray, size: int
) -> SpikeTrains:
    """Samples of (times, units) as one; each is put in order of time."""
    times, units, starts = [], [], [0]
    for when, who in samples:
        order = np.argsort(when, kind="stable")
        times.append(np.asarray(when, np.float32)[order])
        units.append(np.asarray(who, np.int32)[order])
        starts.append(starts[-1] + len(order))
    join = lambda parts, kind: np.concatenate(parts) if parts else np.zeros(0, kind)
    return SpikeTrains(
        join(times, np.float32),
        join(units, np.int32),
        np.array(starts),
        np.asarray(labels, np.int32),
        size,
    )


def heidelberg(path: Path, samples: slice = slice(None)) -> SpikeTrains:
    """SHD or SSC: words through a model of the inner ear, as spikes of 700 channels.

    Args:
        path: a partition, such as shd_train.h5, unpacked. Reading it needs h5py.
        samples: which of it; all of SSC's training samples need gigabytes of memory.

    Raises:
        LoadError: if the file is not of this form, or a sample is damaged: which, and how.
    """
    import h5py

    wanted = "spikes/times", "spikes/units", "labels"
    try:
        with h5py.File(path, "r") as file:
            for name in wanted:
                if not isinstance(file.get(name), h5py.Dataset):
                    raise LoadError(path, name, "a dataset", "none")
            times, units, labels = (file[name][samples] for name in wanted)
    except (OSError, TypeError) as error:
        raise LoadError(path, "content", "HDF5 as of SHD", error) from error
    if not len(times) == len(units) == len(labels):
        raise LoadError(path, "labels", f"one for each of {len(times)} samples", len(labels))
    for k, (when, who) in enumerate(zip(times, units, strict=True)):
        if np.shape(when) != np.shape(who) or np.ndim(who) != 1:
            found = f"{np.shape(when)} and {np.shape(who)}"
            raise LoadError(path, f"sample {k}", "as many times as units", found)
        if len(who) and not 0 <= np.min(who) <= np.max(who) < CHANNELS:
            raise LoadError(path, f"sample {k}", f"units below {CHANNELS}", np.max(who))
        if len(when) and not 0 <= np.min(when) <= np.max(when) < np.inf:
            raise LoadError(path, f"sample {k}", "times from 0 s", np.min(when))
    return gathered(zip(times, units, strict=True), labels, CHANNELS)


def neuromorphic_mnist(folder: Path) -> SpikeTrains:
    """N-MNIST from the folder Train or Test: unit = 2 (34 y + x) + polarity.

    Raises:
        LoadError: if a class's folder is missing, or a file is no list of events of the sensor.
    """
    files, labels = [], []
    for digit in range(10):
        own = sorted((folder / str(digit)).glob("*.bin"))
        if not own:
            raise LoadError(folder / str(digit), "folder", "files of events, *.bin", "none")
        files += own
        labels += [digit] * len(own)
    return gathered(map(_events, files), np.array(labels), 2 * SIDE**2)


def _events(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Events of 40 bits: x and y of 8 bits, polarity of 1, and time of 23 bits in us."""
    raw = np.frombuffer(read_bytes(path), np.uint8)
    if len(raw) % EVENT_BYTES:
        raise LoadError(path, "size", f"a multiple of {EVENT_BYTES} bytes", len(raw))
    x, y, high, middle, low = raw.reshape(-1, EVENT_BYTES).astype(np.int64).T
    if len(x) and max(x.max(), y.max()) >= SIDE:
        raise LoadError(path, "event", f"x and y below {SIDE}", max(x.max(), y.max()))
    microseconds = ((high & 127) << 16) | (middle << 8) | low
    return microseconds * 1e-6, 2 * (SIDE * y + x) + (high >> 7)


def raster(trains: SpikeTrains, sample: int, steps: int, dt: float) -> Bool[np.ndarray, "t units"]:
    """Who spiked in which step of one sample.

    Raises:
        ValueError: if a spike lies outside the steps; cut the trains with `until` first.
    """
    here = slice(trains.starts[sample], trains.starts[sample + 1])
    at = np.floor(trains.times[here] / dt).astype(int)
    if len(at) and not 0 <= at.min() <= at.max() < steps:
        raise ValueError(f"spikes must lie in {steps} steps, got steps {at.min()} to {at.max()}")
    spikes = np.zeros((steps, trains.size), bool)
    spikes[at, trains.units[here]] = True
    return spikes


def until(trains: SpikeTrains, duration_s: float) -> SpikeTrains:
    """The trains without what comes at duration_s or later."""
    kept = trains.times < duration_s
    before = np.concatenate([[0], np.cumsum(kept)])
    return trains._replace(
        times=trains.times[kept], units=trains.units[kept], starts=before[trains.starts]
    )


def spoken_digits(size: int, *, classes: int = 20, seed: int = 0) -> SpikeTrains:
    r"""A synthetic set like SHD: formants that glide through 700 channels, speakers that vary.

    A class is three formants, each a channel that glides from one value to another and back within
    0.8 s, $c(t) = c_0 + (c_1 - c_0) \sin^2(\pi t / T)$. A sample's speaker shifts all channels by
    up to 30 and lasts 0.6 to 1 s. Each formant sends 1,500 spikes at times drawn evenly, spread by
    12 channels; 500 more are anywhere. Classes are equally frequent.
    """
    if size % classes:
        raise ValueError(f"size must be a multiple of {classes} classes, got {size}")
    laws, random = np.random.default_rng(1), np.random.default_rng(seed)
    ends = laws.uniform(60, CHANNELS - 60, (classes, 3, 2))
    labels = random.permutation(np.repeat(np.arange(classes), size // classes))

    def sample(label: int):
        lasts, shift = random.uniform(0.6, 1.0), random.uniform(-30, 30)
        times = random.uniform(0, lasts, (3, 1_500))
        first, second = ends[label, :, 0, None], ends[label, :, 1, None]
        channel = first + (second - first) * np.sin(np.pi * times / lasts) ** 2
        channel = channel + shift + random.normal(0, 12, times.shape)
        noise = random.uniform(0, lasts, 500), random.uniform(0, CHANNELS, 500)
        when = np.concatenate([times.ravel(), noise[0]])
        who = np.concatenate([channel.ravel(), noise[1]])
        return when, np.clip(who, 0, CHANNELS - 1).astype(np.int32)

    return gathered(map(sample, labels), labels, CHANNELS)
