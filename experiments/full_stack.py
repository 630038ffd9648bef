"""The main job: one free energy as float JAX, as spikes with local learning, as joules on cores."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments import data
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, LearnerState, PredictiveCoding, backprop
from fep.predictive_coding.network import multilayer
from snn.coding import HalvingCode
from snn.spiking_pc import SpikingPC, TracePlasticity, Trial

WIDTHS = (64, 128, 64, 10)
LEARNERS = ("backprop", "predictive coding", "spiking predictive coding")
PROBE = 64  # samples on which spikes, cosines and energies are followed through training


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


class History(NamedTuple):
    """What is followed through training; row 0 is before it, row e after epoch e."""

    accuracy: Float[Array, "epochs+1 learners seeds"]  # on the test digits
    spikes: Float[Array, "epochs+1 kinds seeds"]  # a unit and sample; clamped input, values, errors
    cosine: Float[Array, "epochs+1 layers seeds"]  # trace deposit to rate gradient
    energies: Float[Array, "epochs+1 settle"]  # nats a sample along inference, rate PC, first seed


class State(NamedTuple):
    """What the run carries; learners with a leading seed axis, in the order of LEARNERS."""

    learners: tuple[LearnerState, LearnerState, LearnerState]
    history: History


def chunks(config: Config) -> int:
    """One chunk an epoch."""
    return config.epochs


def init(config: Config) -> State:
    """Three copies of every seed's network, and what they are like before learning."""
    keys = jax.vmap(jax.random.key)(config.seed + jnp.arange(config.seeds))
    fresh = lambda learner: jax.vmap(
        lambda key: learner.init(multilayer(WIDTHS, jax.nn.relu, key=key))
    )(keys)
    learners = tuple(fresh(learner) for learner in _learners(config))
    rows, settle = config.epochs + 1, config.settle_steps + 1
    nothing = History(
        *(jnp.full((rows, n, config.seeds), jnp.nan) for n in (3, 3, len(WIDTHS) - 1)),
        jnp.full((rows, settle), jnp.nan),
    )
    return State(learners, _write(nothing, 0, _programs(config).follow(learners)))


def step(config: Config, state: State, chunk: int) -> tuple[State, dict[str, float]]:
    """One epoch of every learner and seed, each in an order of its own."""
    learners = _programs(config).epoch(state.learners, chunk)
    row = _programs(config).follow(learners)
    state = State(learners, _write(state.history, chunk + 1, row))
    accuracy = np.mean(row.accuracy, axis=1)
    return state, {
        **{f"accuracy, {name}": float(a) for name, a in zip(LEARNERS, accuracy, strict=True)},
        "spikes per unit and sample": float(np.mean(np.sum(row.spikes, axis=0))),
        "cosine to the rate gradient": float(np.mean(np.min(row.cosine, axis=0))),
        "free energy (nats)": float(row.energies[-1]),
    }


class Programs(NamedTuple):
    """The compiled parts of a configuration."""

    epoch: eqx.Module  # (learners, epoch) -> learners
    follow: eqx.Module  # learners -> one row of History


def _learners(config: Config) -> tuple[Learner, Learner, Learner]:
    samples = data.digits().train.inputs.shape[0]
    updates = config.epochs * (samples // config.batch)
    adam = optax.adam(optax.cosine_decay_schedule(config.rate, updates))
    flow = GradientFlow(config.settle_rate, config.settle_steps)
    return (
        Learner(backprop, adam),
        Learner(PredictiveCoding(flow), adam),
        Learner(_spiking_rule(config), adam),
    )


def _spiking_rule(config: Config) -> TracePlasticity:
    return TracePlasticity(
        HalvingCode(1.0, config.halvings), config.settle_rate, config.settle_steps
    )


@cache
def _programs(config: Config) -> Programs:
    train, test = data.digits()
    inputs, labels = jnp.asarray(train.inputs), jax.nn.one_hot(train.labels, WIDTHS[-1])
    batches = inputs.shape[0] // config.batch
    probe = inputs[:PROBE], labels[:PROBE]
    rules, spiking = _learners(config), _spiking_rule(config)
    rate_rule = rules[1].gradient

    def epoch(learners, number):
        def one(learner, state, seed):
            key = jax.random.fold_in(jax.random.key(seed), number)
            order = jax.random.permutation(key, inputs.shape[0])[: batches * config.batch]
            pick = lambda state, rows: learner.step(state, (inputs[rows], labels[rows]))
            return jax.lax.scan(pick, state, order.reshape(batches, config.batch))[0]

        seeds = config.seed + jnp.arange(config.seeds)
        return tuple(
            jax.vmap(lambda state, seed, rule=rule: one(rule, state, seed))(state, seeds)
            for rule, state in zip(rules, learners, strict=True)
        )

    def follow(learners):
        def accuracy(predict):
            decided = jnp.argmax(jax.vmap(predict)(jnp.asarray(test.inputs)), axis=1)
            return jnp.mean(decided == jnp.asarray(test.labels))

        def one(by_backprop, by_coding, by_spikes):
            network = by_spikes.network
            populations = SpikingPC(network, spiking.code, spiking.rate, spiking.steps)
            told = spiking(network, probe)[1], rate_rule(network, probe)[1]
            cosine = [
                _cosine(a.weight, b.weight) for a, b in zip(*(t.layers for t in told), strict=True)
            ]
            settled = jax.vmap(rate_rule.solver, in_axes=(None, 0, 0))(by_coding.network, *probe)
            predictors = by_backprop.network, by_coding.network, populations
            return History(
                jnp.stack([accuracy(p.predict) for p in predictors]),
                _spikes_a_unit(spiking.settle(network, probe)),
                jnp.stack(cosine),
                jnp.mean(settled.energies, axis=0),
            )

        rows = jax.vmap(one, out_axes=1)(*learners)
        return rows._replace(energies=rows.energies[:, 0])

    return Programs(jax.jit(epoch), jax.jit(follow))


def _spikes_a_unit(trials: Trial) -> Float[Array, " kinds"]:
    """Spikes of the clamped input, the values and the errors, each over all units and samples."""
    count = lambda trains: sum(jnp.sum(jnp.abs(train)) for train in trains)
    start, settle = trials.start, trials.spikes
    kinds = [
        (start.values[0], settle.values[0]),
        (*start.values[1:], *settle.values[1:]),
        (*start.errors, *settle.errors),
    ]
    units = sum(WIDTHS[:-1]) + sum(WIDTHS[1:])
    return jnp.stack([count(trains) for trains in kinds]) / (units * PROBE)


def _cosine(a: Array, b: Array) -> Float[Array, ""]:
    return jnp.vdot(a, b) / jnp.sqrt(jnp.vdot(a, a) * jnp.vdot(b, b))


def _write(history: History, row: int, values: History) -> History:
    return jax.tree.map(lambda all_rows, one: all_rows.at[row].set(one), history, values)
