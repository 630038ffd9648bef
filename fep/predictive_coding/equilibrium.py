"""Where inference would end: exact linear oracles, implicit slopes, and how far a solver came."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from fep.predictive_coding.inference import Settled, Solver
from fep.predictive_coding.learning import Batch, backprop, slope_at
from fep.predictive_coding.network import PCNetwork, PCState, Value


def linear_equilibrium(network: PCNetwork, *values: Value) -> PCState:
    r"""The equilibrium of a linear Gaussian network, cycles allowed: one solve of all nodes.

    The energy is quadratic, so that $z^* = z_0 - H^{-1} g(z_0)$ from any $z_0$.

    Args:
        network: linear edges and links, Gaussian energies; elsewhere this is one Newton step.
        values: of its clamped nodes.

    Returns:
        The values where the energy has no slope; infinite if it is flat.

    Source: Bogacz (2017), J. Math. Psychol. 76, eqs. 12-14 at rest, for a hierarchy.
    """
    clamped = network.clamp(*values)
    start, unravel = ravel_pytree(clamped.init())
    cost = lambda flat: clamped.cost(unravel(flat))
    return unravel(start - jnp.linalg.solve(jax.hessian(cost)(start), jax.grad(cost)(start)))


def equilibrated_energy(network: PCNetwork, *values: Value) -> Float[Array, ""]:
    r"""Free energy at equilibrium of a linear Gaussian network, without inference; nats.

    $F^* = \frac12 r^T S^{-1} r + c$ with r the clamped effects' errors of the feed-forward pass
    and $S = \Lambda^{-1} + J \Pi^{-1} J^T$: the surprise of the effects with all else integrated
    out, less $\frac12 \ln |S|$ and its like.

    Source: Innocenti et al. (2024), arXiv:2408.11979, theorem 1, here for any DAG and variances.
    """
    clamped = network.clamp(*values)
    start = jax.tree.map(jnp.zeros_like, clamped.init())
    flat, unravel = ravel_pytree(start)
    outputs = lambda e: ravel_pytree(clamped.outputs(unravel(e)))[0]
    slope = jax.jacobian(outputs)(flat)
    spread = slope @ jnp.linalg.solve(_curvature(clamped, start), slope.T)
    mu, unravel_outputs = ravel_pytree(clamped.outputs(None))
    surprise = lambda o: clamped.surprise(unravel_outputs(o))
    noise = jnp.linalg.inv(jax.hessian(surprise)(mu))
    residual = jax.grad(surprise)(mu)  # precision times error
    error = noise @ residual
    return 0.5 * error @ jnp.linalg.solve(noise + spread, error) + clamped.normaliser(start)


def _curvature(clamped, point: PCState) -> Float[Array, "d d"]:
    parts = [
        node.energy.curvature(e, jnp.zeros_like(e), jnp.ones_like(e)).ravel()
        for node, e in zip(clamped.network.free, point.activities, strict=True)
    ]
    return jnp.diag(jnp.concatenate(parts))


def at_equilibrium(
    solver: Solver, network: PCNetwork, *values: Value, tolerance: float = 1e-8
) -> PCState:
    r"""Settled values whose derivatives are those of the equilibrium, however it was found.

    By the implicit function theorem $d\varepsilon^* = -H^{-1} \partial g$, so that neither steps
    nor memory of the solver enter; H is solved by conjugate gradients in error coordinates, where
    it is nearly the identity. For slopes of a loss of $z^*$ in weights, precisions and clamps.

    Args:
        solver: settles one sample, close to equilibrium: what is left of a slope is an error of
            the derivative.
        network: without cycles of free nodes.
        values: of its clamped nodes.
        tolerance: relative residual of the conjugate gradients.

    Source: Bai, Kolter & Koltun (2019), NeurIPS 32, "Deep equilibrium models", theorem 1.
    """
    found = _settled_errors((network, values), solver, tolerance)
    return network.clamp(*values).decode(found)


@eqx.filter_custom_vjp
def _settled_errors(problem, solver: Solver, tolerance: float) -> PCState:
    network, values = problem
    clamped = network.clamp(*values)
    return clamped.encode(solver.settle(clamped, clamped.init()).state)


@_settled_errors.def_fwd
def _settled_errors_forward(perturbed, problem, solver, tolerance):
    found = _settled_errors(problem, solver, tolerance)
    return found, found


@_settled_errors.def_bwd
def _settled_errors_backward(found, cotangent, perturbed, problem, solver, tolerance):
    network, values = problem
    slope = jax.grad(network.clamp(*values).error_cost)
    curve = lambda v: jax.jvp(slope, (found,), (v,))[1]
    behind, _ = jax.scipy.sparse.linalg.cg(curve, cotangent, tol=tolerance)
    slopes = lambda p: jax.grad(p[0].clamp(*p[1]).error_cost)(found)
    _, pull = eqx.filter_vjp(slopes, problem)
    return pull(jax.tree.map(jnp.negative, behind))[0]


class Regime(NamedTuple):
    """Between backprop and equilibrium: where a solver's inference ends on a batch."""

    relaxed: Float[Array, ""]  # part of the way from feed-forward to equilibrium energy, 1 at most
    gap: Float[Array, ""]  # the rest
    to_equilibrium: Float[Array, " edges"]  # cosine of each edge's gradient to equilibrium's
    to_backprop: Float[Array, " edges"]  # and to backprop's
    norm: Float[Array, " edges"]  # of each edge's gradient, over its norm at equilibrium


def regime(
    ends: Settled,
    star: Settled,
    network: PCNetwork,
    batch: Batch,
    *,
    slope: PCNetwork | None = None,
) -> Regime:
    r"""Measure where inference ends, by energy and by the gradient of each edge.

    A small energy gap does not mean that edges far from the output have settled: judge by `norm`.

    Args:
        ends: what is judged: where a solver ended on each sample, as `settle_batch` gives it.
        star: what is taken for equilibrium, such as the ends of many Newton steps.
        network: with a feed-forward pass.
        batch: of samples.
        slope: the gradient that is judged; None for the one at `ends`. Rules that learn on the
            way, as the incremental one does, descend another.
    """
    start = jnp.sum(ends.energies[:, 0])
    end = jnp.sum(ends.energies[:, -1])
    best = jnp.sum(jnp.minimum(star.energies[:, -1], ends.energies[:, -1]))
    gap = (end - best) / (start - best)
    ours = slope_at(network, ends.state, batch)[1] if slope is None else slope
    goal = slope_at(network, star.state, batch)[1]
    twin = backprop(network, batch)[1]
    flat = lambda slope: [ravel_pytree(eqx.filter(e, eqx.is_array))[0] for e in slope.edges]
    triples = list(zip(flat(ours), flat(goal), flat(twin), strict=True))
    norm = jnp.linalg.norm
    return Regime(
        1 - gap,
        gap,
        jnp.stack([cosine(a, b) for a, b, _ in triples]),
        jnp.stack([cosine(a, c) for a, _, c in triples]),
        jnp.stack([norm(a) / jnp.maximum(norm(b), _tiny(b)) for a, b, _ in triples]),
    )


def cosine(a: Float[Array, " d"], b: Float[Array, " d"]) -> Float[Array, ""]:
    """Cosine of the angle between two vectors; 0 if one is zero."""
    norms = jnp.linalg.norm(a) * jnp.linalg.norm(b)
    return jnp.vdot(a, b) / jnp.maximum(norms, _tiny(a))


def _tiny(a: Array) -> float:
    return float(jnp.finfo(a.dtype).tiny)
