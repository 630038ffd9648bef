"""Tracking by temporal predictive coding, beside the Kalman filter: Millidge et al. (2024).

A point that is pushed moves in position, velocity and acceleration; three noisy mixtures of them
are seen. Filters estimate the state by one, some or all steps of inference, and learn its dynamics.
Data and first weights are the authors' own: their random numbers are drawn again, bit for bit.

Source: Millidge, Tang, Osanlouy, Harper & Bogacz (2024), PLOS Comput. Biol. 20, e1011183,
"Predictive coding networks for temporal prediction"; settings of their repository
C16Mftang/temporal-predictive-coding, scripts/tracking_*.py.
"""

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.claims import Check, Row
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION, panels
from fep.predictive_coding.inference import AmortisedStart, Descent, GradientFlow
from fep.predictive_coding.network import PCNetwork, PCState
from fep.predictive_coding.second_order import GaussNewton
from fep.predictive_coding.temporal import (
    KalmanFilter,
    Linear,
    TemporalLearner,
    TemporalPC,
    temporal_network,
)

PAPER = "Millidge et al. (2024)"
DT = 1e-3
DYNAMICS = np.array([[1.0, DT, 0.5 * DT**2], [0.0, 1.0, DT], [0.0, 0.0, 1.0]])
PUSH = np.array([[0.0], [0.0], [1.0]])  # B: the control acts on the acceleration
RATES = np.arange(0.12, 0.33, 0.02)  # tracking_inf_multi_seeds.py
COUNTS = np.arange(2, 21, 2)
FILTERS = "Kalman filter", "1 step", "5 steps", "equilibrium"
LEARNERS = "Kalman filter", "true weights", "learnt", "random"


@dataclass(frozen=True)
class Config:
    """The authors' three scripts: one track, a grid of step sizes and numbers, and learning.

    Attributes:
        track: time steps of the track that is shown, and of the ones that are learned from.
        grid: time steps of the tracks of the grid.
        seeds: tracks of the grid and of learning, each with noise of its own.
        rate: step size of inference on the track that is shown.
        learning_inference: steps of inference while learning.
        learning_state_rate: their size.
        learning_rate: of the weights.
    """

    track: int = 1000
    grid: int = 2000
    seeds: int = 10
    rate: float = 0.1
    learning_inference: int = 20
    learning_state_rate: float = 0.2
    learning_rate: float = 2e-5

    def __post_init__(self):
        for name in ("track", "grid", "seeds", "learning_inference"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise ValueError(f"{name} must be 1 to a million, got {getattr(self, name)}")
        for name in ("rate", "learning_state_rate", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")


class Result(NamedTuple):
    """Squared errors are means over time and components, in squared units of the state."""

    hidden: Float[Array, "track 3"]  # position, velocity, acceleration
    seen: Float[Array, "track 3"]
    estimates: Float[Array, "filters track 3"]
    errors: Float[Array, " filters"]  # of the estimates
    rates: Float[Array, " rates"]
    counts: Float[Array, " counts"]  # inference steps
    kalman: Float[Array, " seeds"]  # squared error on each track of the grid
    grid: Float[Array, "counts rates seeds"]  # the same for temporal predictive coding
    equilibrium: Float[Array, " seeds"]  # and at its equilibrium
    state_errors: Float[Array, "learners seeds"]
    seen_errors: Float[Array, "learners seeds"]  # of what is predicted a step ahead


class Push(eqx.Module):
    """How the control acts, B u: known, so no parameter that could be learned."""

    def __call__(self, control: Float[Array, " 1"]) -> Float[Array, " 3"]:
        """Its share of the state."""
        return PUSH @ control


class Track(NamedTuple):
    """One run of the tracking task."""

    controls: Float[Array, "steps 1"]
    hidden: Float[Array, "steps 3"]
    seen: Float[Array, "steps 3"]


def authors_normals(seed: int, count: int) -> Float[np.ndarray, " count"]:
    """The first `count` standard normal numbers of a PyTorch CPU generator, drawn a few at a time.

    A Mersenne twister's words in pairs make uniform numbers of 53 bits, and those in pairs a normal
    number from the cosine and one from the sine of Box and Muller.

    Source: PyTorch 1.12, aten/src/ATen/core/DistributionsHelper.h and CPUGeneratorImpl.cpp.
    """
    pairs = -(-count // 2)
    words = np.random.RandomState(seed).randint(0, 2**32, 4 * pairs, dtype=np.uint32)
    high, low = words[::2].astype(np.uint64), words[1::2].astype(np.uint64)
    uniform = ((high << np.uint64(32) | low) & np.uint64(2**53 - 1)) / 2**53
    radius, angle = np.sqrt(-2 * np.log1p(-uniform[1::2])), 2 * np.pi * uniform[::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:count]


def matrix(seed: int) -> Float[np.ndarray, "3 3"]:
    """A random matrix of the authors."""
    return authors_normals(seed, 9).reshape(3, 3)


def track(seed: int, steps: int, emission: Float[np.ndarray, "3 3"]) -> Track:
    """The authors' data: unit noise on state and observation, a push that fades away."""
    noise = authors_normals(seed, 6 * steps).reshape(steps, 2, 3)
    controls = np.exp(-0.01 * np.arange(steps))[:, None]
    hidden, state = [], np.zeros(3)
    for push, (kick, _) in zip(controls, noise, strict=True):
        state = DYNAMICS @ state + PUSH @ push + kick
        hidden.append(state)
    hidden = np.stack(hidden)
    return Track(controls, hidden, hidden @ emission.T + noise[:, 1])


def _tracks(seeds: int, steps: int, emission: Float[np.ndarray, "3 3"]) -> Track:
    parts = zip(*(track(seed, steps, emission) for seed in range(seeds)), strict=True)
    return Track(*(np.stack(part) for part in parts))


def network_of(dynamics, emission) -> PCNetwork:
    """One time step with unit variances, as the authors have them."""
    maps = (Linear(jnp.asarray(a, jnp.float64)) for a in (dynamics, emission))
    return temporal_network(*maps, control=Push())


def from_the_past(solver):
    """Inference that starts from the last estimate, as the authors' does, not from its forecast."""
    return AmortisedStart(lambda past, *given: PCState((past,)), solver)


def kalman_filter(emission) -> KalmanFilter:
    """The exact filter of the task."""
    one = jnp.eye(3, dtype=jnp.float64)
    dynamics, emission = (jnp.asarray(a, jnp.float64) for a in (DYNAMICS, emission))
    return KalmanFilter(dynamics, emission, one, one, (jnp.asarray(PUSH, jnp.float64),))


def _follow(machine, start, data: Track):
    """Estimates of a filter or learner along a track."""
    step = lambda state, given: machine.step(state, *given)
    return jax.lax.scan(step, start, (data.controls, data.seen))[1]


def _kalman(emission, data: Track):
    machine = kalman_filter(emission)
    start = machine.init()._replace(covariance=jnp.eye(3, dtype=jnp.float64))  # theirs
    return _follow(machine, start, data)


def _square(a: Array, b: Array) -> Array:
    return jnp.mean((a - b) ** 2, axis=(-2, -1))


def _shown(config: Config) -> tuple:
    """tracking_inf_steps.py: one track, by four filters."""
    emission = matrix(200)
    data = track(10, config.track, emission)

    @jax.jit
    def all_filters(data):
        solvers = (
            *(from_the_past(GradientFlow(config.rate, count)) for count in (1, 5)),
            GaussNewton(1),
        )
        network = network_of(DYNAMICS, emission)
        machines = [TemporalPC(network, solver, 3) for solver in solvers]
        ours = [_follow(machine, machine.init(), data) for machine in machines]
        return jnp.stack([_kalman(emission, data), *ours])

    estimates = all_filters(data)
    return data.hidden, data.seen, estimates, _square(estimates, data.hidden[None])


def _grid(config: Config) -> tuple:
    """tracking_inf_multi_seeds.py: squared errors by number and size of steps."""
    emission = matrix(10)
    data = _tracks(config.seeds, config.grid, emission)
    network = network_of(DYNAMICS, emission)
    error = lambda machine, data: _square(_follow(machine, machine.init(), data), data.hidden)

    def limited(count, rate, data):
        """Steps after `count` have size zero, so that one program serves all numbers."""
        transform = optax.sgd(lambda taken: jnp.where(taken < count, rate, 0.0))
        solver = from_the_past(Descent(transform, int(COUNTS[-1])))
        return error(TemporalPC(network, solver, 3), data)

    over_seeds = jax.vmap(limited, (None, None, 0))
    over_rates = jax.vmap(over_seeds, (None, 0, None))
    errors = jax.jit(jax.vmap(over_rates, (0, None, None)))(COUNTS, RATES, data)
    exact = jax.jit(jax.vmap(lambda d: _square(_kalman(emission, d), d.hidden)))(data)
    settled = jax.jit(jax.vmap(lambda d: error(TemporalPC(network, GaussNewton(1), 3), d)))(data)
    return exact, errors, settled


def _learning(config: Config) -> tuple:
    """tracking_learning_AC.py: true, learnt and random A and C, one pass over each track."""
    emission = matrix(1)
    data = _tracks(config.seeds, config.track, emission)
    true, random = network_of(DYNAMICS, emission), network_of(matrix(1), matrix(2))
    solver = from_the_past(GradientFlow(config.learning_state_rate, config.learning_inference))

    def by_prediction(network, rate, data):
        """Squared errors of the state, and of what is seen as predicted a step ahead."""
        learner = TemporalLearner(TemporalPC(network, solver, 3), optax.sgd(rate))

        def step(state, given):
            ahead = state.network.predict(state.filter.estimate, given[0])
            state, estimate = learner.step(state, *given)
            return state, (estimate, ahead)

        _, (estimates, ahead) = jax.lax.scan(step, learner.init(), (data.controls, data.seen))
        return _square(estimates, data.hidden), _square(ahead, data.seen)

    def exact(data):
        estimates = _kalman(emission, data)
        past = jnp.concatenate([jnp.zeros((1, 3)), estimates[:-1]])
        ahead = jax.vmap(true.predict)(past, data.controls)
        return _square(estimates, data.hidden), _square(ahead, data.seen)

    settings = (true, 0.0), (random, config.learning_rate), (random, 0.0)
    kinds = exact, *(lambda d, s=s: by_prediction(*s, d) for s in settings)
    errors = jax.jit(lambda data: [jax.vmap(kind)(data) for kind in kinds])(data)
    return tuple(jnp.stack(part) for part in zip(*errors, strict=True))


def run(config: Config) -> Result:
    """All three scripts, in float64."""
    with jax.enable_x64(True):
        hidden, seen, estimates, errors = _shown(config)
        kalman, grid, equilibrium = _grid(config)
        parts = hidden, seen, estimates, errors, RATES, COUNTS, kalman, grid, equilibrium
        return jax.tree.map(np.asarray, Result(*parts, *_learning(config)))


def summary(config: Config, result: Result) -> list[Row]:
    """Squared errors of all filters; the paper prints none, its figures' scripts are the source."""
    rows = [
        Row(f"squared error, {name}", float(error), source="fig. 3C, its track")
        for name, error in zip(FILTERS, result.errors, strict=True)
    ]
    over = result.grid.mean(axis=2) - result.kalman.mean()
    settled = float((result.equilibrium - result.kalman).mean())
    source = "fig. 3D, whose axis runs from 1 to 6"
    rows += [
        Row("squared error over Kalman's, worst of the grid", float(over.max()), source=source),
        Row("squared error over Kalman's, best of the grid", float(over.min()), source=source),
        Row("squared error over Kalman's, equilibrium", settled, source="limit of fig. 3D"),
    ]
    parts = ("state", result.state_errors), ("seen a step ahead", result.seen_errors)
    for told, errors in parts:
        for name, error in zip(LEARNERS, np.log10(errors).mean(axis=1), strict=True):
            rows.append(Row(f"log10 squared error, {told}, {name}", float(error), source="fig. 4"))
    return rows


def figure(result: Result):
    """Tracking by temporal predictive coding and by the Kalman filter.

    a, Estimated acceleration: one step of inference lags, five or all come near to Kalman. b,
    Squared error beyond the Kalman filter's by size and number of steps (dashed: at equilibrium),
    mean over tracks. c, d, Squared error of the state, and of what is seen as predicted a step
    ahead: learnt weights predict what is seen, in coordinates of their own. A point is a track.
    """
    drawing, (a, b, c, d) = panels(2, 2, height_mm=105)
    window = slice(*(len(result.hidden) * part // 100 for part in (56, 60)))
    time = np.arange(len(result.hidden))[window]
    a.plot(time, result.hidden[window, 2], color=BLACK, label="true")
    colours = ORANGE, SKY, BLUE, GREEN
    for name, colour, estimate in zip(FILTERS, colours, result.estimates, strict=True):
        style = ":" if name == "equilibrium" else "-"
        a.plot(time, estimate[window, 2], style, color=colour, label=name)
    low, high = a.get_ylim()
    a.set(xlabel="time step", ylabel="acceleration (a.u.)", ylim=(low, high + 0.25 * (high - low)))
    a.legend(loc="upper left", ncols=3)
    over = result.grid.mean(axis=2) - result.kalman.mean()
    shades = np.linspace(0.85, 0.1, len(result.counts))
    for count, errors, shade in zip(result.counts, over, shades, strict=True):
        told = f"{count}" if count in (2, 4, 6, 10, 20) else None
        b.plot(result.rates, errors, color=str(shade), label=told)
    settled = np.mean(result.equilibrium - result.kalman)
    b.axhline(settled, color=GREEN, linestyle="--", linewidth=0.7)
    b.set(xlabel="step size of inference", ylabel="squared error − Kalman's", yscale="log")
    b.set_yticks((0.4, 0.6, 1, 2, 4), ("0.4", "0.6", "1", "2", "4"))
    b.minorticks_off()
    b.legend(title="inference steps", title_fontsize=5.5, ncols=2)
    parts = (c, result.state_errors, "state"), (d, result.seen_errors, "seen, a step ahead")
    for ax, errors, told in parts:
        for place, row in enumerate(errors):
            colour = (ORANGE, BLUE, VERMILION, BLACK)[place]
            spread = np.linspace(-0.15, 0.15, len(row))
            ax.plot(place + spread, row, "o", color=colour)
        ax.set(xticks=range(4), ylabel=f"squared error: {told}", yscale="log", xlim=(-0.5, 3.5))
        ax.set_xticklabels(LEARNERS)
    return drawing


def stationary(gain: np.ndarray, emission: np.ndarray) -> float:
    """Exact mean squared error of a filter of fixed gain K, once its start is forgotten.

    With $M = I - K C$ the errors' covariance solves $P = M (A P A^T + Q) M^T + K R K^T$.
    """
    rest = np.eye(3) - gain @ emission
    move = rest @ DYNAMICS
    noise = rest @ rest.T + gain @ gain.T
    flat = np.linalg.solve(np.eye(9) - np.kron(move, move), noise.ravel())
    return float(np.trace(flat.reshape(3, 3)) / 3)


def verify() -> list[Check]:
    """What the paper says in words, and exact errors of both filters; it prints no numbers.

    Its abstract: temporal predictive coding is "a variant of a Kalman filter which does not track
    its own subjective posterior variance", and comes to a similar accuracy.
    """
    config = Config()
    result = run(config)
    emission = matrix(200)
    gain = emission.T @ np.linalg.inv(emission @ emission.T + np.eye(3))
    state, by_hand = np.zeros(3), []
    for push, seen in zip(np.exp(-0.01 * np.arange(config.track)), result.seen, strict=True):
        ahead = DYNAMICS @ state + PUSH[:, 0] * push
        state = ahead + gain @ (seen - emission @ ahead)
        by_hand.append(state)
    apart = float(np.abs(np.stack(by_hand) - result.estimates[3]).max())
    emission, prior = matrix(10), np.eye(3)
    plain = emission.T @ np.linalg.inv(emission @ emission.T + np.eye(3))
    for _ in range(10_000):
        best = prior @ emission.T @ np.linalg.inv(emission @ prior @ emission.T + np.eye(3))
        prior = DYNAMICS @ (prior - best @ emission @ prior) @ DYNAMICS.T + np.eye(3)
    told = "mean squared error"
    # 20,000 correlated steps: their mean is good to about 2 %
    rows = (
        ("equilibrium less a Kalman filter without variance; exact", 0, apart, 1e-9),
        (f"{told}, Kalman; exact", stationary(best, emission), result.kalman.mean(), 0.03),
        (
            f"{told}, equilibrium; exact",
            stationary(plain, emission),
            result.equilibrium.mean(),
            0.04,
        ),
    )
    return [Check(PAPER, name, exact, float(ours), near) for name, exact, ours, near in rows]
