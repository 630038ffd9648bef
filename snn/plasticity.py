r"""Local learning rules driven by spikes and the traces they leave.

In a step, traces decay, then presynaptic spikes are dealt with, then postsynaptic ones: a
presynaptic spike meets postsynaptic traces of earlier steps, a postsynaptic spike presynaptic
traces with those of its own step, so that a coincidence potentiates. A trace is read before the
spike that reads it leaves its own mark.

Delays are axonal: what counts as a presynaptic spike is its arrival at the synapse, so with a
delay d a rule sees $t_{post} - (t_{pre} + d)$. Matrices have shape (pre, post) here.
"""

from collections.abc import Callable
from typing import NamedTuple

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snn.events import Words, nth, running_count
from snn.parameters import Parameter, require_nonnegative, require_positive


def pair_trace(
    pre_spikes: Float[Array, "*events pre"],
    pre_traces: Float[Array, "*events pre"],
    post_spikes: Float[Array, "*events post"],
    post_traces: Float[Array, "*events post"],
) -> Float[Array, "post pre"]:
    r"""Symmetric pair-trace plasticity, summed over events.

    $\Delta W_{ij} = \sum_t \bar y_i(t)\, s_j(t) + r_i(t)\, \bar x_j(t)$: a presynaptic spike of
    size s meets the postsynaptic trace, a postsynaptic spike of size r the presynaptic trace.
    Each synapse reads nothing but its own two ends. Traces that do not leak and are the running
    sums of their spikes telescope, so a run from rest deposits exactly
    $\bar y(\text{end})\, \bar x(\text{end})^T$ (product rule for step functions, where the two
    sides never spike in the same event).

    Unlike classical STDP the window is symmetric and does not decay.

    Args:
        pre_spikes: signed sizes of presynaptic spikes, shape (*events, pre); 0 is silence.
        pre_traces: presynaptic traces that postsynaptic spikes meet, shape (*events, pre).
        post_spikes: signed sizes of postsynaptic spikes, shape (*events, post).
        post_traces: postsynaptic traces that presynaptic spikes meet, shape (*events, post).

    Returns:
        Weight change, shape (post, pre), in units of (post size) x (pre size).

    Source: the trace form of O'Connor, Gavves & Welling (2017), arXiv:1706.04159, for
    difference-coded spikes.
    """
    chex.assert_equal_shape_prefix([pre_spikes, post_spikes], pre_spikes.ndim - 1)
    return jnp.einsum("...i,...j->ij", post_traces, pre_spikes) + jnp.einsum(
        "...i,...j->ij", post_spikes, pre_traces
    )


class Traces(NamedTuple):
    """What spikes have left on both sides; a rule says how many traces it keeps on each."""

    pre: tuple[Float[Array, " pre"], ...]
    post: tuple[Float[Array, " post"], ...]


Change = Float[Array, "..."]
Bound = Callable[[Change, Change], Change]  # (weight, change) -> new weight


class Additive(eqx.Module):
    """Changes add, and stop at hard bounds."""

    w_max: Parameter
    w_min: Parameter = 0.0

    def __call__(self, weight: Change, change: Change) -> Change:
        """The new weight."""
        return jnp.clip(weight + change, self.w_min, self.w_max)


class Multiplicative(eqx.Module):
    r"""Potentiation scales with $(1 - w/w_{max})^\mu$, depression with $(w/w_{max})^\mu$.

    Source: Guetig et al. (2003), J. Neurosci. 23:3697, eq. 3; mu = 1 is Rubin et al. (2001).
    """

    w_max: Parameter
    exponent: Parameter = 1.0

    def __call__(self, weight: Change, change: Change) -> Change:
        """The new weight; the bounds are never crossed."""
        share = jnp.clip(weight / self.w_max, 0, 1)
        factor = jnp.where(change > 0, 1 - share, share) ** self.exponent
        return jnp.clip(weight + change * factor, 0, self.w_max)


def all_pairs(trace: Change, spikes: Change) -> Change:
    """A spike adds 1 to its trace: all pairs of spikes interact."""
    return trace + spikes


def nearest(trace: Change, spikes: Change) -> Change:
    """A spike sets its trace to 1: it interacts with nearest neighbours alone."""
    return jnp.where(spikes > 0, 1.0, trace)


class SpikeTimingRule(eqx.Module):
    """A rule made of traces: what it keeps, and what a spike of either side changes.

    `at_pre` and `at_post` broadcast: they are given a row, a column, or a whole matrix, with the
    traces of its two sides shaped to fit.
    """

    bound: Bound
    pairing: Callable[[Change, Change], Change] = eqx.field(static=True, default=all_pairs)

    @property
    def taus(self) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
        """Time constants of the presynaptic and of the postsynaptic traces, s."""
        raise NotImplementedError

    def at_pre(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """Change by a presynaptic spike."""
        raise NotImplementedError

    def at_post(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """Change by a postsynaptic spike."""
        raise NotImplementedError

    def init(self, pre: int, post: int) -> Traces:
        """No spike has been."""
        sides = zip(self.taus, (pre, post), strict=True)
        return Traces(*(tuple(jnp.zeros(n) for _ in taus) for taus, n in sides))

    def decayed(self, traces: Traces, dt: float) -> Traces:
        """The traces dt later."""
        fade = lambda side, taus: tuple(
            x * jnp.exp(-dt / jnp.asarray(tau)) for x, tau in zip(side, taus, strict=True)
        )
        return Traces(*map(fade, traces, self.taus))

    def marked(self, traces: tuple[Change, ...], spikes: Change) -> tuple[Change, ...]:
        """One side's traces after its spikes."""
        return tuple(self.pairing(trace, spikes.astype(trace.dtype)) for trace in traces)


class PairSTDP(SpikeTimingRule):
    r"""Pre before post by t: $+A_+ e^{-t/\tau_+}$; post before pre by t: $-A_- e^{-t/\tau_-}$.

    Source: Song, Miller & Abbott (2000), Nat. Neurosci. 3:919.
    """

    a_plus: Parameter = 0.005
    a_minus: Parameter = 0.00525
    tau_plus: Parameter = 20e-3
    tau_minus: Parameter = 20e-3

    def __check_init__(self):
        require_positive(tau_plus=self.tau_plus, tau_minus=self.tau_minus)

    @property
    def taus(self):
        """One trace a side."""
        return (self.tau_plus,), (self.tau_minus,)

    def at_pre(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """Depression by the postsynaptic trace."""
        return -self.a_minus * post[0]

    def at_post(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """Potentiation by the presynaptic trace."""
        return self.a_plus * pre[0]


class SymmetricSTDP(PairSTDP):
    """Hebbian whichever came first: `PairSTDP` with a depression that potentiates."""

    def at_pre(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """Potentiation by the postsynaptic trace."""
        return self.a_minus * post[0]


class TripletSTDP(SpikeTimingRule):
    r"""Pairs and triplets of spikes.

    At a presynaptic spike $-o_1 (A_2^- + A_3^- r_2)$, at a postsynaptic $+r_1 (A_2^+ + A_3^+ o_2)$.
    Defaults are the minimal all-to-all model of visual cortex.

    Source: Pfister & Gerstner (2006), J. Neurosci. 26:9673, eqs. 3 and 4, table 4.
    """

    a2_plus: Parameter = 0.0
    a3_plus: Parameter = 6.5e-3
    a2_minus: Parameter = 7.1e-3
    a3_minus: Parameter = 0.0
    tau_plus: Parameter = 16.8e-3
    tau_x: Parameter = 101e-3
    tau_minus: Parameter = 33.7e-3
    tau_y: Parameter = 114e-3

    def __check_init__(self):
        require_positive(
            tau_plus=self.tau_plus, tau_x=self.tau_x, tau_minus=self.tau_minus, tau_y=self.tau_y
        )

    @property
    def taus(self):
        """r1, r2 before; o1, o2 behind."""
        return (self.tau_plus, self.tau_x), (self.tau_minus, self.tau_y)

    def at_pre(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """Depression by pairs and by pre-post-pre triplets."""
        return -post[0] * (self.a2_minus + self.a3_minus * pre[1])

    def at_post(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """Potentiation by pairs and by post-pre-post triplets."""
        return pre[0] * (self.a2_plus + self.a3_plus * post[1])


class InhibitorySTDP(SpikeTimingRule):
    r"""Inhibition that comes to balance excitation, and holds the target at a rate.

    At a presynaptic spike $\eta (y - 2 \rho_0 \tau)$, at a postsynaptic $\eta x$.

    Source: Vogels et al. (2011), Science 334:1569, supplement.
    """

    rate: Parameter = 1e-3
    tau: Parameter = 20e-3
    target_hz: Parameter = 5.0

    def __check_init__(self):
        require_positive(tau=self.tau)
        require_nonnegative(target_hz=self.target_hz)

    @property
    def taus(self):
        """One trace a side."""
        return (self.tau,), (self.tau,)

    def at_pre(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """Towards the target rate."""
        return self.rate * (post[0] - 2 * self.target_hz * self.tau)

    def at_post(self, pre: tuple[Change, ...], post: tuple[Change, ...]) -> Change:
        """Hebbian."""
        return self.rate * pre[0]


def learn(
    rule: SpikeTimingRule,
    traces: Traces,
    weights: Float[Array, "pre post"],
    spikes: tuple[Float[Array, " pre"], Float[Array, " post"]],
    *,
    dt: float,
) -> tuple[Traces, Float[Array, "pre post"]]:
    """One step of a rule on a full matrix, every entry looked at: for small or busy layers.

    Args:
        rule: what to do.
        traces: after the step before.
        weights: before the step.
        spikes: of both sides, 0 or 1.
        dt: s.
    """
    before, after = spikes
    traces = rule.decayed(traces, dt)
    rows = lambda side: tuple(x[:, None] for x in side)
    columns = lambda side: tuple(y[None, :] for y in side)
    change = rule.at_pre(rows(traces.pre), columns(traces.post))
    weights = jnp.where(before[:, None] > 0, rule.bound(weights, change), weights)
    traces = traces._replace(pre=rule.marked(traces.pre, before))
    change = rule.at_post(rows(traces.pre), columns(traces.post))
    weights = jnp.where(after[None, :] > 0, rule.bound(weights, change), weights)
    return traces._replace(post=rule.marked(traces.post, after)), weights


def learn_events(
    rule: SpikeTimingRule,
    traces: Traces,
    weights: Float[Array, "pre post"],
    words: tuple[Words, Words],
    *,
    dt: float,
) -> tuple[Traces, Float[Array, "pre post"]]:
    """The same step by events: a row for each presynaptic spike, a column for each postsynaptic.

    Args:
        rule: what to do.
        traces: after the step before.
        weights: before the step.
        words: spikes of both sides, packed as in `snn.events`.
        dt: s.
    """
    traces = rule.decayed(traces, dt)
    counts = [running_count(side) for side in words]

    def row(k, carry):
        weights, marks = carry
        i = nth(words[0], counts[0], k)
        change = rule.at_pre(tuple(x[i] for x in traces.pre), traces.post)
        return weights.at[i].set(rule.bound(weights[i], change)), marks.at[i].set(1.0)

    silent = jnp.zeros(weights.shape[0])
    weights, marks = jax.lax.fori_loop(0, counts[0][-1], row, (weights, silent))
    traces = traces._replace(pre=rule.marked(traces.pre, marks))

    def column(k, carry):
        weights, marks = carry
        j = nth(words[1], counts[1], k)
        change = rule.at_post(traces.pre, tuple(y[j] for y in traces.post))
        return weights.at[:, j].set(rule.bound(weights[:, j], change)), marks.at[j].set(1.0)

    silent = jnp.zeros(weights.shape[1])
    weights, marks = jax.lax.fori_loop(0, counts[1][-1], column, (weights, silent))
    return traces._replace(post=rule.marked(traces.post, marks)), weights


class RewardModulated(eqx.Module):
    r"""A rule whose changes wait as eligibility until reward comes: $\dot w = r\, e$.

    $\tau_e \dot e = -e$, to which the rule adds what it would have changed. Two-factor rules with
    dopamine are the same with r the concentration above its baseline.

    Attributes:
        rule: gives the changes; its bound applies to the weights.
        tau_eligibility: s.

    Source: Izhikevich (2007), Cereb. Cortex 17:2443, eqs. 1 and 2.
    """

    rule: SpikeTimingRule
    tau_eligibility: Parameter = 1.0

    def __check_init__(self):
        require_positive(tau_eligibility=self.tau_eligibility)

    def init(self, pre: int, post: int) -> tuple[Traces, Float[Array, "pre post"]]:
        """No spike has been, and nothing is eligible."""
        return self.rule.init(pre, post), jnp.zeros((pre, post))

    def learn(
        self,
        state: tuple[Traces, Float[Array, "pre post"]],
        weights: Float[Array, "pre post"],
        spikes: tuple[Float[Array, " pre"], Float[Array, " post"]],
        reward: Float[Array, ""],
        *,
        dt: float,
    ):
        """One step: the new (traces, eligibility), and the new weights."""
        traces, eligibility = state
        unbounded = eqx.tree_at(lambda r: r.bound, self.rule, jnp.add)
        eligibility = eligibility * jnp.exp(-dt / jnp.asarray(self.tau_eligibility))
        traces, eligibility = learn(unbounded, traces, eligibility, spikes, dt=dt)
        return (traces, eligibility), self.rule.bound(weights, dt * reward * eligibility)


def scale_synapses(
    weights: Float[Array, "pre post"], total: Float[Array, ""] | float
) -> Float[Array, "pre post"]:
    """Weights of each neuron scaled to a sum, as homeostasis does: Diehl & Cook (2015)."""
    return weights * (total / jnp.sum(weights, axis=0, keepdims=True))


def oja(
    weights: Float[Array, "pre post"], x: Float[Array, " pre"], rate: float
) -> Float[Array, "pre post"]:
    r"""$\Delta w = \eta\, y (x - y w)$ with $y = w^T x$: to the first principal axis, at length 1.

    Source: Oja (1982), J. Math. Biol. 15:267, eq. 3.
    """
    y = x @ weights
    return weights + rate * (x[:, None] - y[None, :] * weights) * y[None, :]


class BCMState(NamedTuple):
    """Carried by `BCM`."""

    weights: Float[Array, "pre post"]
    threshold: Float[Array, " post"]


class BCM(eqx.Module):
    r"""Hebbian above a threshold that slides, anti-Hebbian below it.

    $\dot w = \eta\, x\, y (y - \theta)$ and $\tau \dot\theta = y^2 - \theta$.

    Attributes:
        rate: $\eta$, 1/s.
        tau: of the threshold, s.

    Source: Bienenstock, Cooper & Munro (1982), J. Neurosci. 2:32; the squared average is Intrator &
    Cooper (1992), Neural Networks 5:3.
    """

    rate: Parameter
    tau: Parameter

    def __check_init__(self):
        require_positive(tau=self.tau)

    def init(self, weights: Float[Array, "pre post"]) -> BCMState:
        """A threshold of 1."""
        return BCMState(weights, jnp.ones(weights.shape[1]))

    def step(
        self, state: BCMState, x: Float[Array, " pre"], *, dt: float
    ) -> tuple[BCMState, Float[Array, " post"]]:
        """One step under presynaptic rates x: the new state, and postsynaptic rates."""
        y = x @ state.weights
        growth = jnp.outer(x, y * (y - state.threshold))
        decay = jnp.exp(-dt / jnp.asarray(self.tau))
        threshold = y**2 + (state.threshold - y**2) * decay
        return BCMState(state.weights + dt * self.rate * growth, threshold), y
