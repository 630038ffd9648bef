"""What spike trains are like: rates, irregularity, synchrony, spectra and distances.

NumPy on recordings, on the host. A raster has shape (steps, n), bool; times are in seconds.
"""

import numpy as np
from jaxtyping import Bool, Float

Raster = Bool[np.ndarray, "steps n"]
Times = Float[np.ndarray, " _"]


def rates_hz(raster: Raster, dt: float) -> Float[np.ndarray, " n"]:
    """Mean rate of each neuron."""
    return raster.sum(axis=0) / (len(raster) * dt)


def interspike_intervals(raster: Raster, dt: float) -> list[Times]:
    """Intervals between the spikes of each neuron, s."""
    neuron, step = np.nonzero(raster.T)
    ends = np.searchsorted(neuron, np.arange(raster.shape[1] + 1))
    return [np.diff(step[a:b]) * dt for a, b in zip(ends[:-1], ends[1:], strict=True)]


def cv_isi(raster: Raster, dt: float, *, least: int = 4) -> float:
    """Coefficient of variation of the intervals, averaged over neurons with at least `least`.

    0 for a clock, 1 for a Poisson train. NaN where no neuron has enough intervals.
    """
    own = [isi.std() / isi.mean() for isi in interspike_intervals(raster, dt) if len(isi) >= least]
    return float(np.mean(own)) if own else float("nan")


def local_variation(raster: Raster, dt: float) -> float:
    """Lv of Shinomoto et al. (2003), averaged over neurons: like CV^2, blind to slow changes."""
    values = []
    for isi in interspike_intervals(raster, dt):
        if len(isi) > 1:
            a, b = isi[:-1], isi[1:]
            values.append(3 * np.mean(((a - b) / (a + b)) ** 2))
    return float(np.mean(values)) if values else float("nan")


def fano_factor(raster: Raster, window: int) -> float:
    """Variance over mean of spike counts in windows of so many steps, averaged over neurons."""
    counts = _counts(raster, window)
    mean, variance = counts.mean(axis=0), counts.var(axis=0)
    return float(np.mean(variance[mean > 0] / mean[mean > 0]))


def population_fano(raster: Raster, window: int) -> float:
    """Variance over mean of the whole population's counts: its size where neurons are one."""
    counts = _counts(raster, window).sum(axis=1)
    return float(counts.var() / counts.mean())


def synchrony(raster: Raster, window: int) -> float:
    """Golomb & Rinzel's chi, 0 to 1: deviation of the mean activity over that of single neurons."""
    counts = _counts(raster, window)
    alone = counts.var(axis=0).mean()
    return float(np.sqrt(counts.mean(axis=1).var() / alone)) if alone else float("nan")


def psth_hz(trials: Bool[np.ndarray, "trials steps n"], window: int, dt: float):
    """Rate over time of each neuron, averaged over trials: shape (steps / window, n)."""
    counts = np.stack([_counts(raster, window) for raster in trials])
    return counts.mean(axis=0) / (window * dt)


def peak_frequency(
    raster: Raster, dt: float, band: tuple[float | int, float | int], *, smooth: int = 5
) -> float:
    """Frequency (Hz) at which the spectrum of the population's activity is highest in a band."""
    activity = raster.sum(axis=1).astype(float)
    power = np.abs(np.fft.rfft(activity - activity.mean())) ** 2
    power = np.convolve(power, np.ones(smooth) / smooth, "same")
    frequency = np.fft.rfftfreq(len(activity), dt)
    inside = (frequency >= band[0]) & (frequency <= band[1])
    return float(frequency[inside][np.argmax(power[inside])])


def victor_purpura(a: Times, b: Times, cost_hz: float) -> float:
    """Least cost of turning one train into the other; a spike moved by t costs `cost_hz` t.

    Source: Victor & Purpura (1996), J. Neurophysiol. 76:1310.
    """
    row = np.arange(len(b) + 1, dtype=float)
    for i, t in enumerate(a, 1):
        last, row = row, np.empty(len(b) + 1)
        row[0] = i
        for j, u in enumerate(b, 1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost_hz * abs(t - u))
    return float(row[-1])


def van_rossum(a: Times, b: Times, tau: float) -> float:
    r"""Distance of two trains after filtering with $e^{-t/\tau}$: $\sqrt{\frac1\tau \int (f-g)^2}$.

    A spike against none is $1 / \sqrt 2$. Source: van Rossum (2001), Neural Comput. 13:751.
    """
    product = lambda x, y: np.exp(-np.abs(x[:, None] - y[None, :]) / tau).sum() / 2
    squared = product(a, a) + product(b, b) - 2 * product(a, b)
    return float(np.sqrt(max(squared, 0.0)))


def _counts(raster: Raster, window: int) -> np.ndarray:
    if not 1 <= window <= len(raster):
        raise ValueError(f"window must lie in [1, {len(raster)}] steps, got {window}")
    whole = len(raster) // window
    return raster[: whole * window].reshape(whole, window, -1).sum(axis=1)
