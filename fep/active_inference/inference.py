"""Inference of the present state: exactly over the joint, or a fixed point of the mean field."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fep.active_inference.belief import (
    Belief,
    Observation,
    evidence,
    joint,
    mean_field,
)
from fep.active_inference.model import Indices, Model
from fep.free_energy import complexity
from fep.information import log


class Perceived(NamedTuple):
    """What inference returns."""

    belief: Belief
    free_energy: Float[Array, ""]  # nats; -ln p(o) where inference is exact


class ExactFilter(eqx.Module):
    r"""Bayes' rule on the joint table: $q(s) \propto p(s) \prod_g p(o_g \mid s)$.

    If an outcome is impossible under every state the prior stands, and the free energy is that of
    the smallest normal number.

    Attributes:
        limit: most joint states that the table may have.

    Source: Rabiner (1989), Proc. IEEE 77, sec. III-A: the forward step.
    """

    limit: int = eqx.field(static=True, default=65536)

    def blocks(self, model: Model) -> Indices:
        """One block of all factors."""
        size = math.prod(model.num_states)
        if size > self.limit:
            raise ValueError(
                f"ExactFilter: expected at most {self.limit} joint states, got {size}; "
                "use FixedPoint, or raise `limit`"
            )
        return joint(model)

    def __call__(self, model: Model, prior: Belief, observation: Observation) -> Perceived:
        """The posterior, and the surprise of the observation in nats."""
        (table,) = prior.tables
        weight = table
        for seen, factors in evidence(model, observation):
            order = sorted(range(len(factors)), key=lambda i: factors[i])
            shape = [n if f in factors else 1 for f, n in enumerate(model.num_states)]
            weight = weight * jnp.broadcast_to(
                jnp.transpose(seen, order).reshape(shape), table.shape
            )
        total = jnp.sum(weight)
        posterior = jnp.where(total > 0, weight / jnp.where(total > 0, total, 1), table)
        return Perceived(Belief((posterior,), prior.blocks), -log(total))


class FixedPoint(eqx.Module):
    r"""Mean field: each factor in turn, $q_f \propto \exp E_{q \setminus f} \ln p(o, s)$.

    Every update lowers the free energy $F = \sum_f KL(q_f \| p_f) - E_q \ln p(o \mid s)$, which
    bounds the surprise from above.

    Attributes:
        sweeps: turns through all factors.

    Source: Beal (2003), Variational algorithms for approximate Bayesian inference, sec. 2.3.
    """

    sweeps: int = eqx.field(static=True, default=8)

    def __check_init__(self):
        if self.sweeps < 1:
            raise ValueError(f"sweeps must be at least 1, got {self.sweeps}")

    def blocks(self, model: Model) -> Indices:
        """One block a factor."""
        return mean_field(model)

    def __call__(self, model: Model, prior: Belief, observation: Observation) -> Perceived:
        """The mean-field posterior, and its free energy in nats."""
        terms = [(log(seen), factors) for seen, factors in evidence(model, observation)]
        log_prior = [log(p) for p in prior.tables]

        def sweep(tables, _):
            tables = list(tables)
            for f in range(len(tables)):
                others = Belief(tuple(tables), prior.blocks).over({*range(len(tables))} - {f})
                logit = log_prior[f]
                for term, factors in terms:
                    if f in factors:
                        logit = logit + others.mean((term, factors), keep=(f,))
                tables[f] = jax.nn.softmax(logit)
            return tuple(tables), None

        tables, _ = jax.lax.scan(sweep, prior.tables, length=self.sweeps)
        belief = Belief(tables, prior.blocks)
        cost = sum(complexity(q, p) for q, p in zip(tables, prior.tables, strict=True))
        explained = sum(belief.mean(term) for term in terms)
        return Perceived(belief, cost - explained)
