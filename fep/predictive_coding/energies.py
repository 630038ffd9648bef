"""What a value node pays for straying from its prediction; each functional is one of `fep`'s."""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fep.free_energy import (
    bernoulli_energy,
    categorical_energy,
    gaussian_cost,
    gaussian_normaliser,
    huber_energy,
    laplace_energy,
    student_energy,
)

Value = Float[Array, "..."]  # of any shape
Nats = Float[Array, ""]


class NodeEnergy(eqx.Module):
    r"""Surprise $F(z, \mu)$ of a node's value under its prediction, and its curvature.

    Attributes:
        is_location: whether F depends on the error $z - \mu$ alone, so that the node may be free
            in error coordinates.
    """

    is_location: ClassVar[bool] = True

    def __call__(self, value: Value, prediction: Value) -> Nats:
        """Energy in nats."""
        return self.cost(value, prediction) + self.normaliser(value)

    def cost(self, value: Value, prediction: Value) -> Nats:
        """The part of the energy that depends on value and prediction, in nats."""
        raise NotImplementedError

    def normaliser(self, value: Value) -> Nats:
        """The rest, in nats, for a value of this shape; left out where it is a mere constant."""
        return jnp.zeros((), value.dtype)

    def mean(self, prediction: Value) -> Value:
        """The value expected under a prediction: itself, or the probabilities of its logits."""
        return prediction

    def curvature(self, value: Value, prediction: Value, tangent: Value) -> Value:
        r"""$\Lambda v$ with $\Lambda \succeq 0$, a curvature of F along the prediction.

        The Hessian where F is convex and smooth; else, as in iteratively reweighted least squares,
        the diagonal $\psi(\varepsilon) / \varepsilon$ of the parabola that touches F from above.

        Source: Huber & Ronchetti (2009), Robust Statistics, sec. 7.8, modified weights.
        """
        raise NotImplementedError


class Gaussian(NodeEnergy):
    """A Gaussian with one fixed variance.

    Attributes:
        variance: of every unit, in squared units of the value.
    """

    variance: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not self.variance > 0:
            raise ValueError(f"variance must be positive, got {self.variance}")

    def cost(self, value: Value, prediction: Value) -> Nats:
        """In nats."""
        return gaussian_cost(value.ravel(), prediction.ravel(), self._log_precision(value))

    def normaliser(self, value: Value) -> Nats:
        """In nats."""
        return gaussian_normaliser(self._log_precision(value))

    def _log_precision(self, value: Value) -> Float[Array, " d"]:
        return jnp.full(value.size, -math.log(self.variance), value.dtype)

    def curvature(self, value: Value, prediction: Value, tangent: Value) -> Value:
        """The precision times the tangent."""
        return tangent / self.variance


class LearnedGaussian(NodeEnergy):
    r"""A diagonal Gaussian whose precisions are parameters: learning descends F in them, too.

    The $-\ln \pi$ of the energy keeps them finite: its slope vanishes where $1 / \pi$ is the mean
    squared error, the maximum-likelihood variance.

    Attributes:
        log_precision: of every unit, in the shape of the value.

    Source: Bogacz (2017), J. Math. Psychol. 76, sec. 2.4, for the update of variances.
    """

    log_precision: Value

    def cost(self, value: Value, prediction: Value) -> Nats:
        """In nats."""
        return gaussian_cost(value.ravel(), prediction.ravel(), self.log_precision.ravel())

    def normaliser(self, value: Value) -> Nats:
        """In nats."""
        return gaussian_normaliser(self.log_precision.ravel())

    def curvature(self, value: Value, prediction: Value, tangent: Value) -> Value:
        """The precisions times the tangent."""
        return jnp.exp(self.log_precision) * tangent


class Laplace(NodeEnergy):
    """A Laplace distribution, the sparse prior of sparse coding.

    Attributes:
        scale: mean absolute deviation of every unit.
    """

    scale: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not self.scale > 0:
            raise ValueError(f"scale must be positive, got {self.scale}")

    def cost(self, value: Value, prediction: Value) -> Nats:
        """In nats."""
        return laplace_energy(value.ravel(), prediction.ravel(), self.scale)

    def normaliser(self, value: Value) -> Nats:
        """In nats."""
        return jnp.full((), value.size * math.log(2 * self.scale), value.dtype)

    def curvature(self, value: Value, prediction: Value, tangent: Value) -> Value:
        """The tangent over scale times error; errors under 1e-3 of the scale count as that."""
        return tangent / (self.scale * jnp.maximum(jnp.abs(value - prediction), 1e-3 * self.scale))


class Huber(NodeEnergy):
    """A unit Gaussian at its centre with the tails of a Laplace distribution.

    Attributes:
        threshold: error at which the one becomes the other.
    """

    threshold: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not self.threshold > 0:
            raise ValueError(f"threshold must be positive, got {self.threshold}")

    def cost(self, value: Value, prediction: Value) -> Nats:
        """In nats."""
        return huber_energy(value.ravel(), prediction.ravel(), self.threshold)

    def curvature(self, value: Value, prediction: Value, tangent: Value) -> Value:
        """The tangent at the centre; in the tails, times threshold over error."""
        error = jnp.abs(value - prediction)
        return tangent * self.threshold / jnp.maximum(error, self.threshold)


class Student(NodeEnergy):
    r"""The kurtotic prior $a \ln(1 + \varepsilon^2)$: a Student distribution of $2 a - 1$ degrees.

    Attributes:
        weight: a.

    Source: Rao & Ballard (1999), Nat. Neurosci. 2, methods, "sparse kurtotic prior".
    """

    weight: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not self.weight > 0:
            raise ValueError(f"weight must be positive, got {self.weight}")

    def cost(self, value: Value, prediction: Value) -> Nats:
        """In nats."""
        return student_energy(value.ravel(), prediction.ravel(), self.weight)

    def curvature(self, value: Value, prediction: Value, tangent: Value) -> Value:
        r"""The tangent times $2 a / (1 + \varepsilon^2)$."""
        return 2 * self.weight * tangent / (1 + (value - prediction) ** 2)


class Categorical(NodeEnergy):
    """Cross-entropy of a distribution over classes; the prediction holds its logits."""

    is_location = False

    def cost(self, value: Value, prediction: Value) -> Nats:
        """In nats."""
        return categorical_energy(value.ravel(), prediction.ravel())

    def mean(self, prediction: Value) -> Value:
        """Softmax of the logits."""
        return jax.nn.softmax(prediction)

    def curvature(self, value: Value, prediction: Value, tangent: Value) -> Value:
        r"""$(\mathrm{diag}(p) - p p^T) v$ for a value that sums to 1."""
        p = jax.nn.softmax(prediction)
        return p * (tangent - jnp.sum(p * tangent))


class Bernoulli(NodeEnergy):
    """Cross-entropy of independent binary units; the prediction holds their logits."""

    is_location = False

    def cost(self, value: Value, prediction: Value) -> Nats:
        """In nats."""
        return bernoulli_energy(value.ravel(), prediction.ravel())

    def mean(self, prediction: Value) -> Value:
        """Logistic function of the logits."""
        return jax.nn.sigmoid(prediction)

    def curvature(self, value: Value, prediction: Value, tangent: Value) -> Value:
        """$p (1 - p) v$."""
        p = jax.nn.sigmoid(prediction)
        return p * (1 - p) * tangent


class Flat(NodeEnergy):
    """No energy at all: an improper flat prior."""

    def cost(self, value: Value, prediction: Value) -> Nats:
        """Nothing, whatever the value."""
        return jnp.zeros((), value.dtype)

    def curvature(self, value: Value, prediction: Value, tangent: Value) -> Value:
        """None."""
        return jnp.zeros_like(tangent)
