"""Spikes with a slope: a step forwards, a smooth stand-in for its derivative backwards."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from snn.parameters import Parameter, require_positive


class Surrogate(eqx.Module):
    r"""A Heaviside step $\Theta(x)$, x > 0, whose derivative is replaced by `slope`.

    Attributes:
        scale: $\beta$, steepness, in units of 1/x. The peak of the slope is what its class says;
            Zenke & Vogels (2021) find that the scale matters and the shape hardly does.
    """

    scale: Parameter = 10.0

    def __check_init__(self):
        require_positive(scale=self.scale)

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """What stands for the derivative of the step at x."""
        raise NotImplementedError

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Spikes, 1 where x > 0 and 0 elsewhere, in the type of x."""
        return _fire(self, x)


@jax.custom_jvp
def _fire(surrogate: Surrogate, x: Float[Array, "..."]) -> Float[Array, "..."]:
    return (x > 0).astype(x.dtype)


@_fire.defjvp
def _fire_jvp(primals, tangents):
    (surrogate, x), (_, dx) = primals, tangents
    return _fire(surrogate, x), surrogate.slope(x) * dx


class SuperSpike(Surrogate):
    r"""$1 / (1 + \beta |x|)^2$, peak 1: Zenke & Ganguli (2018), Neural Comput. 30:1514, eq. 5."""

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """See the class."""
        return 1 / (1 + self.scale * jnp.abs(x)) ** 2


class SigmoidSlope(Surrogate):
    r"""$4 \sigma(\beta x)(1 - \sigma(\beta x))$, peak 1: Zenke & Vogels (2021), scaled."""

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """See the class."""
        s = jax.nn.sigmoid(self.scale * x)
        return 4 * s * (1 - s)


class Triangle(Surrogate):
    r"""$\max(0, 1 - \beta |x|)$, peak 1: Esser et al. (2016), PNAS 113:11441."""

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """See the class."""
        return jnp.maximum(0, 1 - self.scale * jnp.abs(x))


class ArcTangent(Surrogate):
    r"""$1 / (1 + (\pi \beta x / 2)^2)$, peak 1: Fang et al. (2021), ICCV, scaled."""

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """See the class."""
        return 1 / (1 + (jnp.pi / 2 * self.scale * x) ** 2)


class Bell(Surrogate):
    r"""$\exp(-(\beta x)^2)$, peak 1: the Gaussian of Yin et al. (2020), ICONS, with peak scaled."""

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """See the class."""
        return jnp.exp(-((self.scale * x) ** 2))


class Boxcar(Surrogate):
    r"""1 where $\beta |x| < 1/2$, else 0: Kaiser et al. (2020), Front. Neurosci. 14:424."""

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """See the class."""
        return (self.scale * jnp.abs(x) < 0.5).astype(x.dtype)


class Amplified(Surrogate):
    """The slope of another surrogate, times a gain; `scale` is not used.

    Attributes:
        shape: what is multiplied.
        gain: height of the peak.
    """

    shape: Surrogate = SuperSpike()
    gain: Parameter = 1.0

    def slope(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """See the class."""
        return self.gain * self.shape.slope(x)
