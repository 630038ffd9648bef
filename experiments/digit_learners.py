"""Three learners of one network on the digits: backprop, predictive coding, and its spikes."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from experiments.data import digits
from fep.predictive_coding.inference import GradientFlow
from fep.predictive_coding.learning import Learner, LearnerState, PredictiveCoding, backprop
from fep.predictive_coding.network import multilayer
from snn.coding import HalvingCode
from snn.spiking_pc import SpikingPC, Trial
from snn.spiking_pc_learning import TracePlasticity

WIDTHS = (64, 128, 64, 10)
LEARNERS = ("backprop", "predictive coding", "spiking predictive coding")
PROBE = 64  # samples on which spikes, cosines and energies are followed through training


@dataclass(frozen=True)
class Recipe:
    """How the three are trained; as in the main job's Config."""

    seed: int
    seeds: int
    epochs: int
    batch: int
    rate: float
    settle_rate: float
    settle_steps: int
    halvings: int


class History(NamedTuple):
    """What is followed through training; row 0 is before it, row e after epoch e."""

    accuracy: Float[Array, "epochs+1 learners seeds"]  # on the test digits
    spikes: Float[Array, "epochs+1 kinds seeds"]  # a unit and sample; clamped input, values, errors
    cosine: Float[Array, "epochs+1 layers seeds"]  # trace deposit to rate gradient
    energies: Float[Array, "epochs+1 settle"]  # nats a sample along inference, rate PC, first seed


class State(NamedTuple):
    """What training carries; learners with a leading seed axis, in the order of LEARNERS."""

    learners: tuple[LearnerState, LearnerState, LearnerState]
    history: History


def untrained(recipe: Recipe) -> State:
    """Three copies of every seed's network, and what they are like before learning."""
    keys = jax.vmap(jax.random.key)(recipe.seed + jnp.arange(recipe.seeds))
    fresh = lambda learner: jax.vmap(
        lambda key: learner.init(multilayer(WIDTHS, jax.nn.relu, key=key))
    )(keys)
    learners = tuple(fresh(learner) for learner in _learners(recipe))
    rows, settle = recipe.epochs + 1, recipe.settle_steps + 1
    nothing = History(
        *(jnp.full((rows, n, recipe.seeds), jnp.nan) for n in (3, 3, len(WIDTHS) - 1)),
        jnp.full((rows, settle), jnp.nan),
    )
    return State(learners, _write(nothing, 0, _programs(recipe).follow(learners)))


def one_epoch(recipe: Recipe, state: State, number: int) -> State:
    """One pass of every learner and seed through the digits, each in an order of its own."""
    learners = _programs(recipe).epoch(state.learners, number)
    row = _programs(recipe).follow(learners)
    return State(learners, _write(state.history, number + 1, row))


def spiking_rule(recipe: Recipe) -> TracePlasticity:
    """The local rule of the spiking learner."""
    code = HalvingCode(1.0, recipe.halvings)
    return TracePlasticity(code, recipe.settle_rate, recipe.settle_steps)


class Programs(NamedTuple):
    """The compiled parts of a recipe."""

    epoch: eqx.Module  # (learners, epoch) -> learners
    follow: eqx.Module  # learners -> one row of History


def _learners(recipe: Recipe) -> tuple[Learner, Learner, Learner]:
    samples = digits().train.inputs.shape[0]
    updates = recipe.epochs * (samples // recipe.batch)
    adam = optax.adam(optax.cosine_decay_schedule(recipe.rate, updates))
    flow = GradientFlow(recipe.settle_rate, recipe.settle_steps)
    return (
        Learner(backprop, adam),
        Learner(PredictiveCoding(flow), adam),
        Learner(spiking_rule(recipe), adam),
    )


@cache
def _programs(recipe: Recipe) -> Programs:
    train, test = digits()
    inputs, labels = jnp.asarray(train.inputs), jax.nn.one_hot(train.labels, WIDTHS[-1])
    batches = inputs.shape[0] // recipe.batch
    probe = inputs[:PROBE], labels[:PROBE]
    rules, spiking = _learners(recipe), spiking_rule(recipe)
    rate_rule = rules[1].gradient

    def epoch(learners, number):
        def one(learner, state, seed):
            key = jax.random.fold_in(jax.random.key(seed), number)
            order = jax.random.permutation(key, inputs.shape[0])[: batches * recipe.batch]
            pick = lambda state, rows: learner.step(state, (inputs[rows], labels[rows]))
            return jax.lax.scan(pick, state, order.reshape(batches, recipe.batch))[0]

        seeds = recipe.seed + jnp.arange(recipe.seeds)
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
