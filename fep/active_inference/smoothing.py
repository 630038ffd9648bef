"""Beliefs about a stretch of past states: exactly, by message passing, or by mean field."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fep.active_inference.belief import ACTION, Observations, evidence, joint, prior, transition
from fep.active_inference.model import Model, normalise
from fep.information import log


class Smoothed(NamedTuple):
    """Posterior over the states of every time, given all outcomes; time is the leading axis."""

    joint: Float[Array, "times states"]  # over joint states, last factor fastest
    surprise: Float[Array, ""]  # -ln p(o_1, ..., o_T | u), nats


class Window(NamedTuple):
    """Marginal beliefs over the states of a stretch of time, and what they cost."""

    marginals: tuple[Float[Array, "times _"], ...]  # one a factor
    free_energy: Float[Array, ""]  # nats


def likelihoods(model: Model, observations: Observations) -> Float[Array, "times states"]:
    """What each outcome says of the joint states; observations have a leading axis of time."""

    def one(observation):
        said = jnp.ones(model.num_states, model.A[0].dtype)
        for seen, factors in evidence(model, observation):
            order = sorted(range(len(factors)), key=lambda i: factors[i])
            shape = [n if f in factors else 1 for f, n in enumerate(model.num_states)]
            said = said * jnp.transpose(seen, order).reshape(shape)
        return said.reshape(-1)

    return jax.vmap(one)(observations)


def transitions(model: Model) -> Float[Array, "actions states states"]:
    """The joint transition of each joint action: from (rows) to (columns)."""
    factors = range(len(model.D))
    parts, letters = [], {}
    for f in factors:
        b, axes = transition(model, f)
        if ACTION not in axes:
            b = jnp.broadcast_to(b[..., None, :], (*b.shape[:-1], model.num_actions, b.shape[-1]))
            axes = [*axes[:-1], ACTION, axes[-1]]
        parts += [b, axes]
    spread = [x for f in factors for x in (jnp.ones(model.num_states[f], model.A[0].dtype), [f])]
    named = [ACTION, *factors, *(parts[2 * f + 1][-1] for f in factors)]
    letters = {axis: i for i, axis in enumerate(named)}
    terms = [[letters[a] for a in x] if isinstance(x, list) else x for x in (*parts, *spread)]
    table = jnp.einsum(*terms, list(range(len(named))))
    size = 1
    for n in model.num_states:
        size *= n
    return table.reshape(model.num_actions, size, size)


def smooth(model: Model, observations: Observations, actions: Int[Array, " moves"]) -> Smoothed:
    r"""Exact smoothing of the joint states by an associative scan: logarithmic depth in time.

    The elements $M_t(s, s') = p(s_t = s' \mid s_{t-1} = s) p(o_t \mid s')$ are matrices; products
    of their beginnings filter, of their ends look back, and
    $q(s_t) \propto \alpha_t(s) \beta_t(s)$. Every product is rescaled, so that nothing underflows.

    Args:
        model: A, B and D.
        observations: one array a modality, with times along the leading axis; as `evidence`.
        actions: joint actions between the times, one fewer.

    Source: Särkkä & García-Fernández (2021), IEEE Trans. Autom. Control 66, 299-306.
    """
    said = likelihoods(model, observations)
    moves = transitions(model)[actions]
    (start,) = prior(model, joint(model)).tables
    start = start.reshape(-1)
    first = jnp.broadcast_to((start * said[0])[None, :], moves.shape[1:])
    elements = jnp.concatenate([first[None], moves * said[1:, None, :]])

    def scaled(matrix, scale):
        top = jnp.max(matrix, axis=(-2, -1), keepdims=True)
        top = jnp.where(top > 0, top, 1)
        return matrix / top, scale + jnp.log(top[..., 0, 0])

    def product(a, b):
        return scaled(jnp.matmul(a[0], b[0]), a[1] + b[1])

    def reverse(a, b):
        return scaled(jnp.matmul(b[0], a[0]), a[1] + b[1])

    leaves = scaled(elements, jnp.zeros(elements.shape[0], elements.dtype))
    forward, scale = jax.lax.associative_scan(product, leaves)
    backward, _ = jax.lax.associative_scan(reverse, leaves, reverse=True)
    alpha = forward[:, 0, :]
    beta = jnp.concatenate([jnp.sum(backward[1:], axis=2), jnp.ones_like(alpha[:1])])
    weight = alpha * beta
    total = jnp.sum(alpha[-1])
    return Smoothed(normalise(weight.T).T, -(log(total) + scale[-1]))


class VariationalMessages(eqx.Module):
    r"""Mean field over a stretch: every factor at every time in turn, from all it touches.

    $q_f(s_\tau) \propto \exp E_{q \setminus f, \tau} \ln p(o, s)$: the free energy of the whole
    stretch never rises, and bounds its surprise from above.

    Attributes:
        sweeps: turns through all times and factors.

    Source: Winn & Bishop (2005), J. Mach. Learn. Res. 6, 661-694.
    """

    sweeps: int = eqx.field(static=True, default=8)

    def __call__(
        self, model: Model, observations: Observations, actions: Int[Array, " moves"]
    ) -> Window:
        """Beliefs and free energy.

        Args:
            model: each B on its own factor alone.
            observations: one array a modality, with times along the leading axis.
            actions: joint actions between the times, one fewer.
        """
        said = log(likelihoods(model, observations)).reshape(-1, *model.num_states)
        forward = tuple(log(m[actions]) for m in _own(model))
        start = tuple(log(d) for d in model.D)
        times = said.shape[0]
        q = tuple(jnp.full((times, n), 1 / n, said.dtype) for n in model.num_states)

        def expected(q, t, f):
            ahead = jnp.tensordot(forward[f][jnp.minimum(t, times - 2)], q[f][(t + 1) % times], 1)
            behind = jnp.tensordot(q[f][t - 1], forward[f][jnp.maximum(t - 1, 0)], 1)
            logit = _others(said[t], [x[t] for x in q], f)
            logit = logit + jnp.where(t == 0, start[f], behind)
            return logit + jnp.where(t < times - 1, ahead, 0)

        def update(t, q):
            for f in range(len(q)):
                new = jax.nn.softmax(expected(q, t, f))
                q = (*q[:f], q[f].at[t].set(new), *q[f + 1 :])
            return q

        def sweep(_, q):
            return jax.lax.fori_loop(0, times, update, q)

        q = jax.lax.fori_loop(0, self.sweeps, sweep, q)
        energy = -sum(_others(said[t], [x[t] for x in q], 0) @ q[0][t] for t in range(times))
        for f, x in enumerate(q):
            energy = energy + jnp.sum(x * log(x)) - x[0] @ start[f]
            energy = energy - jnp.einsum("ti,tij,tj->", x[:-1], forward[f], x[1:])
        return Window(q, energy)


class MarginalMessages(eqx.Module):
    r"""Marginal message passing over a stretch: half of the message from each side in time.

    $\ln s_\tau \leftarrow \ln s_\tau + v / \tau_c$ with $v = \ln A_o - \ln s_\tau + \frac12 (\ln B
    s_{\tau-1} + \ln B^\dagger s_{\tau+1})$ scaled and centred as SPM does: beliefs are about as
    sure as exact ones, where mean field is surer than it should be.

    Attributes:
        time_constant: $\tau_c$, updates.
        sweeps: turns through all times.
        deaf: times at the end that hear nothing of what comes after them; 2 is the convention of
            a window whose last time is a prediction that must not speak back.

    Source: Parr et al. (2019), Sci. Rep. 9, 13889.
    """

    time_constant: float | Float[Array, ""] = 4.0
    sweeps: int = eqx.field(static=True, default=16)
    deaf: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        for name in ("sweeps", "deaf"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def __call__(
        self,
        model: Model,
        observations: Observations,
        actions: Int[Array, " moves"],
        start: tuple[Float[Array, " _"], ...] | None = None,
    ) -> Window:
        """Beliefs, and the free energy of the last sweep.

        Args:
            model: each B on its own factor alone.
            observations: one array a modality, with times along the leading axis; the times
                after the last outcome are the future that `actions` lead to.
            actions: joint actions between the times; more of them than outcomes look ahead.
            start: belief about the first time before its outcome, D by default.
        """
        seen = likelihoods(model, observations).reshape(-1, *model.num_states)
        known, times = seen.shape[0], actions.shape[0] + 1
        seen = jnp.concatenate([seen, jnp.ones((times - known, *seen.shape[1:]), seen.dtype)])
        forward = tuple(m[actions] for m in _own(model))
        backward = tuple(jax.vmap(lambda m: normalise(m))(m) for m in forward)
        floor = lambda x: jnp.log(x + 1e-16)
        log_start = [floor(d) for d in (start or model.D)]
        q = tuple(jnp.full((times, n), 1 / n, seen.dtype) for n in model.num_states)

        def point(t, carry):
            q, energy = carry
            here = [x[t] for x in q]
            first, last = t == 0, t >= times - self.deaf
            for f in range(len(q)):
                told = jnp.where(t < known, floor(_others(seen[t], here, f)), 0)
                own = floor(here[f])
                before = q[f][jnp.maximum(t - 1, 0)] @ forward[f][jnp.maximum(t - 1, 0)]
                at = jnp.minimum(t, times - 2)
                after = backward[f][at] @ q[f][jnp.minimum(t + 1, times - 1)]
                error = jnp.where(first, log_start[f], floor(before)) + told - own
                error = error + jnp.where(last, 0, floor(after) + told - own)
                share = jnp.where(first | last, 0, (len(q) - 1) / len(q))
                energy = energy - here[f] @ (error / 2 - share * told)
                here[f] = jax.nn.softmax(own + (error - jnp.mean(error)) / self.time_constant)
                q = (*q[:f], q[f].at[t].set(here[f]), *q[f + 1 :])
            return q, energy

        def sweep(_, carry):
            start = (carry[0], jnp.zeros((), seen.dtype))
            return jax.lax.fori_loop(0, times, point, start)

        zero = (q, jnp.zeros((), seen.dtype))
        return Window(*jax.lax.fori_loop(0, self.sweeps, sweep, zero))


def _own(model):
    """Each factor's transition for every joint action: (actions, from, to)."""
    tables = []
    for f, factors in enumerate(model.dependencies.B):
        if factors != (f,):
            raise ValueError(f"B[{f}]: expected to hang on factor {f} alone, got {factors}")
        b, axes = transition(model, f)
        if ACTION not in axes:
            b = jnp.repeat(b[:, None, :], model.num_actions, axis=1)
        tables.append(jnp.moveaxis(b, 1, 0))
    return tables


def _others(table, marginals, f):
    """Mean of a table over the states of every factor but f."""
    parts = [x for i, q in enumerate(marginals) if i != f for x in (q, [i])]
    return jnp.einsum(table, list(range(table.ndim)), *parts, [f])
