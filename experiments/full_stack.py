"""The main job: one free energy as float JAX, as spikes with local learning, as joules on cores."""

from dataclasses import dataclass, fields
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from experiments.claims import Row
from experiments.data import digits
from experiments.digit_learners import (
    LEARNERS,
    WIDTHS,
    Recipe,
    State,
    one_epoch,
    spiking_rule,
    untrained,
)
from experiments.figures import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, panels
from experiments.maze_agents import comparison, cycles, play, trajectories
from experiments.workloads import (
    SAMPLES,
    Account,
    belief_account,
    bill_rows,
    digits_account,
    energy_rows,
)
from snn.spiking_pc import SpikingPC


@dataclass(frozen=True)
class Config:
    """Train on digits three ways, price the spikes on cores, and let an agent solve the T-maze.

    Attributes:
        seed: of weights and sample order; run k uses seed + k.
        seeds: independent runs of each learner.
        epochs: passes through the training digits.
        batch: samples a weight update.
        rate: peak of Adam's learning rate, which falls along a cosine to zero.
        settle_rate: Euler step of inference.
        settle_steps: steps of inference a sample.
        halvings: spike sizes of the code, 1 to 2^(1 - halvings).
        neurons: integrate-and-fire neurons a state of the agent's beliefs.
        episodes: T-maze episodes that the two agents play.
    """

    seed: int = 0
    seeds: int = 5
    epochs: int = 30
    batch: int = 32
    rate: float = 3e-3
    settle_rate: float = 0.2
    settle_steps: int = 16
    halvings: int = 8
    neurons: int = 256
    episodes: int = 256

    def __post_init__(self):
        for name in ("seeds", "epochs", "batch", "settle_steps", "halvings", "neurons", "episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("rate", "settle_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


class Result(NamedTuple):
    """What the four layers did."""

    accuracy: Float[np.ndarray, "epochs+1 learners seeds"]  # on the test digits
    spikes: Float[np.ndarray, "epochs+1 kinds seeds"]  # a unit and sample
    cosine: Float[np.ndarray, "epochs+1 layers seeds"]  # trace deposit to rate gradient
    energies: Float[np.ndarray, "epochs+1 settle"]  # nats a sample along inference
    beliefs: dict[str, np.ndarray]  # one episode by the millisecond: exact, spiking
    decisions: dict[str, float]  # how the two agents compare
    digit: dict[str, np.ndarray]  # spikes of one digit learnt, by population
    accounts: dict[str, Account]


def chunks(config: Config) -> int:
    """One chunk an epoch."""
    return config.epochs


def init(config: Config) -> State:
    """Networks before learning."""
    return untrained(_recipe(config))


def step(config: Config, state: State, chunk: int) -> tuple[State, dict[str, float]]:
    """One epoch of every learner and seed."""
    state = one_epoch(_recipe(config), state, chunk)
    row = jax.tree.map(lambda a: np.asarray(a[chunk + 1]), state.history)
    accuracy = np.mean(row.accuracy, axis=1)
    return state, {
        **{f"accuracy, {name}": float(a) for name, a in zip(LEARNERS, accuracy, strict=True)},
        "spikes per unit and sample": float(np.mean(np.sum(row.spikes, axis=0))),
        "cosine to the rate gradient": float(np.mean(np.min(row.cosine, axis=0))),
        "free energy above its floor (nats)": float(row.energies[-1] - _floor()),
    }


def result(config: Config, state: State) -> Result:
    """Price the first seed's trained network, and play the T-maze with both minds."""
    rule = spiking_rule(_recipe(config))
    network = jax.tree.map(lambda a: a[0], state.learners[2].network)
    populations = SpikingPC(network, rule.code, rule.rate, rule.steps)
    inputs, labels = (part[:SAMPLES] for part in digits().test)
    targets = np.eye(WIDTHS[-1], dtype=inputs.dtype)[labels]
    accounts, digit = digits_account(populations, inputs, targets)
    played = play(config.neurons, config.episodes, jax.random.key(config.seed))
    accounts |= belief_account(played.minds.spiking, cycles(played))
    history = jax.tree.map(np.asarray, state.history)
    return Result(*history, trajectories(played), comparison(played), digit, accounts)


def inputs(_: Config) -> dict[str, str]:
    """Digest of the digits."""
    return {"digits": digits().sha256}


def summary(_: Config, result: Result) -> list[Row]:
    """The run in a table: accuracy and spikes, the agent, joules with their boundary."""
    rows = []
    for name, seeds in zip(LEARNERS, result.accuracy[-1], strict=True):
        rows.append(_spread(f"test accuracy, {name}", seeds))
    total = np.sum(result.spikes, axis=1)
    rows += [
        _spread("spikes per unit and sample, before learning", total[0]),
        _spread("spikes per unit and sample, after learning", total[-1]),
        Row("the same, fall", float(np.mean(total[0]) / np.mean(total[-1])), "times"),
        _spread("cosine of trace rule to rate gradient, before", result.cosine[0].min(axis=0)),
        _spread("cosine of trace rule to rate gradient, after", result.cosine[-1].min(axis=0)),
    ]
    rows += [Row(name, value, "", "T-maze") for name, value in result.decisions.items()]
    return rows + energy_rows(result.accounts)


def tables(_: Config, result: Result) -> dict[str, list[Row]]:
    """Every bill, term by term with its source."""
    return {f"The bill of {name}": bill_rows(a) for name, a in result.accounts.items()}


def raster(_: Config, result: Result) -> dict[str, np.ndarray]:
    """Spikes of one digit being learnt."""
    return result.digit


def figure(result: Result):
    """One chain, from free energy to joules.

    a, Inference descends the free energy of a batch of digits; learning lowers where it ends
    (first seed). b, Test accuracy of backprop, predictive coding and its spiking twin (mean, and
    range over seeds), while the spikes that a digit costs fall (grey, right). c, Belief that the
    reward is on the right, along one episode of the T-maze: exact filter and share of the
    spikes in the last 25 ms. d, Energy by platform, with the band of its source; an arrow
    marks figures of which only a minimum is published.
    """
    drawing, (a, b, c, d) = panels(2, 2, height_mm=120)
    _draw_descent(a, result)
    _draw_learning(b, result)
    _draw_beliefs(c, result)
    _draw_joules(d, result)
    return drawing


def _draw_descent(ax, result: Result) -> None:
    epochs = len(result.energies) - 1
    shown = sorted({0, 1, min(5, epochs), epochs})
    for epoch, colour in zip(shown, (BLACK, PURPLE, BLUE, SKY), strict=False):
        ax.plot(result.energies[epoch] - _floor(), color=colour, label=f"epoch {epoch}")
    ax.set(xlabel="inference step", ylabel="free energy above its floor (nats)", yscale="log")
    ax.legend()


def _draw_learning(ax, result: Result) -> None:
    epochs = np.arange(len(result.accuracy))
    styles = zip(LEARNERS, (BLACK, BLUE, VERMILION), ("--", "-", "-"), strict=True)
    for k, (name, colour, line) in enumerate(styles):
        seeds = result.accuracy[:, k]
        ax.plot(epochs, seeds.mean(axis=1), line, color=colour, label=name)
        ax.fill_between(
            epochs, seeds.min(axis=1), seeds.max(axis=1), color=colour, alpha=0.15, lw=0
        )
    ax.set(xlabel="epoch", ylabel="test accuracy", ylim=(0.8, 1.0))
    ax.legend(loc="lower right")
    other = ax.twinx()
    other.spines["right"].set_visible(True)
    other.plot(epochs, result.spikes.sum(axis=1).mean(axis=1), color="0.5")
    other.set_ylabel("spikes per unit and sample", color="0.4")
    other.set_ylim(0, None)


def _draw_beliefs(ax, result: Result) -> None:
    milliseconds = np.arange(len(result.beliefs["exact"])) + 1
    ax.plot(milliseconds, result.beliefs["spiking"], color=VERMILION, label="spiking, last 25 ms")
    ax.plot(milliseconds, result.beliefs["exact"], color=BLACK, ls="--", label="exact filter")
    ax.set(xlabel="time (ms)", ylabel="belief: reward is right", ylim=(-0.03, 1.03))
    ax.legend(loc="center right")


def _draw_joules(ax, result: Result) -> None:
    names = list(dict.fromkeys(e["platform"] for a in result.accounts.values() for e in a))
    markers = zip(result.accounts.items(), (BLUE, ORANGE, GREEN), "osD", strict=True)
    for k, ((workload, account), colour, marker) in enumerate(markers):
        for entry in account:
            y, x = names.index(entry["platform"]) + 0.22 * (k - 1), entry["joules"]
            low, high = entry["low"] or x, entry["high"] or x
            ax.plot(x, y, marker, color=colour, label=workload if entry is account[0] else None)
            ax.plot([low, high], [y, y], color=colour)
            if entry["high"] is None and entry["low"] is not None:
                ax.annotate("", (2.5 * x, y), (x, y), arrowprops={"arrowstyle": "->", "lw": 0.6})
    ax.set(xscale="log", xlabel="energy (J)", yticks=range(len(names)))
    ax.set_yticklabels([name.replace(" (", "\n(") for name in names])
    ax.invert_yaxis()
    ax.legend(loc="upper left")


def _spread(label: str, seeds: np.ndarray) -> Row:
    """Mean over seeds, with their range as the band."""
    mean, low, high = (float(f(seeds)) for f in (np.mean, np.min, np.max))
    return Row(label, mean, "", f"mean and range of {len(seeds)} seeds", low, high)


def _floor() -> float:
    """Free energy of the network when every error is zero: ln 2 pi / 2 for each predicted unit."""
    return 0.5 * float(np.log(2 * np.pi)) * sum(WIDTHS[1:])


def _recipe(config: Config) -> Recipe:
    return Recipe(**{field.name: getattr(config, field.name) for field in fields(Recipe)})
