"""Typed nodes of a program: NIR's primitives.

Equations, parameters and units are those of Pedersen et al. (2024), Nature Communications 15, 8122:
time constants and delays in seconds, all other parameters in units of the signal. Every node has
one input and one output. Arrays keep the dtype they came with.
"""

import math
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

Shape = tuple[int, ...]

# no membrane or synapse is faster or slower; beyond, a file is damaged or in other units
FASTEST_S, SLOWEST_S = 1e-9, 1e6


@dataclass(frozen=True, eq=False)
class Operator:
    """What all nodes share: parameters that are checked when built, a shape and a count of MACs.

    Raises:
        ValueError: naming the parameter that is not finite, not physical or of the wrong shape.
    """

    seconds: ClassVar[tuple[str, ...]] = ()  # time constants
    elementwise: ClassVar[bool] = False  # all array parameters have the shape of the signal
    remembers: ClassVar[bool] = False  # its output depends on earlier inputs
    spikes: ClassVar[bool] = False  # its output is 0 or 1

    def __post_init__(self):
        kind, arrays = type(self).__name__, self.arrays
        for name, array in arrays.items():
            if array.dtype.kind not in "fiu":
                raise ValueError(f"{kind}: {name} must be real numbers, got {array.dtype}")
            if not np.isfinite(array).all():
                raise ValueError(f"{kind}: {name} must be finite, got {array[~np.isfinite(array)]}")
            if name in self.seconds and array.size:
                if not (FASTEST_S <= array.min() and array.max() <= SLOWEST_S):
                    span = f"[{array.min()}, {array.max()}]"
                    raise ValueError(
                        f"{kind}: {name} must lie in [{FASTEST_S}, {SLOWEST_S}] s, got {span}"
                    )
        if self.elementwise and len({array.shape for array in arrays.values()}) > 1:
            shapes = {name: array.shape for name, array in arrays.items()}
            raise ValueError(f"{kind}: parameters must have one shape, got {shapes}")

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Array parameters by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of the output for an input of this shape, without a batch axis.

        Raises:
            ValueError: if the operator cannot take such an input.
        """
        if self.elementwise:
            self.expect(shape, next(iter(self.arrays.values())).shape)
        return shape

    def macs(self, shape: Shape) -> int:
        """Multiply-accumulates on a dense machine, for one input of this shape."""
        return 0

    def expect(self, shape: Shape, expected: Shape) -> None:
        """Refuse an input of another shape."""
        if shape != expected:
            raise ValueError(f"{type(self).__name__} takes input of shape {expected}, got {shape}")


@dataclass(frozen=True, eq=False)
class Input(Operator):
    """Where signals of a shape come in."""

    shape: Shape

    def output_shape(self, shape: Shape) -> Shape:
        """The declared one."""
        self.expect(shape, self.shape)
        return shape


@dataclass(frozen=True, eq=False)
class Output(Input):
    """Where signals of a shape go out."""


@dataclass(frozen=True, eq=False)
class Linear(Operator):
    """y = W x, weight of shape (d_out, d_in)."""

    weight: np.ndarray

    def __post_init__(self):
        super().__post_init__()
        if self.weight.ndim != 2:
            raise ValueError(f"Linear: weight must have 2 axes, got shape {self.weight.shape}")

    def output_shape(self, shape: Shape) -> Shape:
        """(d_out,) for (d_in,)."""
        self.expect(shape, self.weight.shape[1:])
        return self.weight.shape[:1]

    def macs(self, shape: Shape) -> int:
        """d_out d_in."""
        return self.weight.size


@dataclass(frozen=True, eq=False)
class Affine(Linear):
    """y = W x + b, bias of shape (d_out,)."""

    bias: np.ndarray

    def __post_init__(self):
        super().__post_init__()
        if self.bias.shape != self.weight.shape[:1]:
            expected, got = self.weight.shape[:1], self.bias.shape
            raise ValueError(f"Affine: bias must have shape {expected}, got {got}")


@dataclass(frozen=True, eq=False)
class Scale(Operator):
    """y = s x, element by element."""

    elementwise: ClassVar[bool] = True
    scale: np.ndarray

    def macs(self, shape: Shape) -> int:
        """One an element."""
        return math.prod(shape)


@dataclass(frozen=True, eq=False)
class Convolution(Operator):
    """Cross-correlation over the last axes; weight of shape (channels out, in / groups, *kernel).

    Attributes:
        weight, bias: kernel, and one number an output channel.
        stride, padding, dilation: of each axis; padding is the zeros on either side.
        groups: channels are split into so many independent parts.
        given_shape: spatial shape that a file declared, or None.
    """

    axes: ClassVar[int]
    weight: np.ndarray
    bias: np.ndarray
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int = 1
    given_shape: Shape | None = None

    def __post_init__(self):
        super().__post_init__()
        kind, n = type(self).__name__, self.axes
        if self.weight.ndim != n + 2 or self.bias.shape != self.weight.shape[:1]:
            shapes = f"{self.weight.shape} and {self.bias.shape}"
            raise ValueError(
                f"{kind}: weight needs {n + 2} axes and a bias a channel, got {shapes}"
            )
        _check_window(kind, n, self.stride, self.padding, self.dilation)
        if self.groups < 1 or self.weight.shape[0] % self.groups:
            raise ValueError(
                f"{kind}: groups must divide {self.weight.shape[0]} channels, got {self.groups}"
            )

    def output_shape(self, shape: Shape) -> Shape:
        """(channels out, *spatial)."""
        expected = self.weight.shape[1] * self.groups
        if len(shape) != self.axes + 1 or shape[0] != expected:
            name = type(self).__name__
            raise ValueError(f"{name} takes {expected} channels and {self.axes} axes, got {shape}")
        if self.given_shape is not None:
            self.expect(shape[1:], self.given_shape)
        window = self.weight.shape[2:], self.stride, self.padding, self.dilation
        return self.weight.shape[:1] + windows(type(self).__name__, shape[1:], *window)

    def macs(self, shape: Shape) -> int:
        """A kernel at every output, padding included, as dense machines do it."""
        return math.prod(self.output_shape(shape)) * math.prod(self.weight.shape[1:])


@dataclass(frozen=True, eq=False)
class Conv1d(Convolution):
    """Convolution along one axis."""

    axes: ClassVar[int] = 1


@dataclass(frozen=True, eq=False)
class Conv2d(Convolution):
    """Convolution in the plane."""

    axes: ClassVar[int] = 2


@dataclass(frozen=True, eq=False)
class SumPool2d(Operator):
    """Sum over windows of the last two axes."""

    kernel_size: Shape
    stride: Shape
    padding: Shape

    def __post_init__(self):
        super().__post_init__()
        _check_window(type(self).__name__, 2, self.stride, self.padding, self.kernel_size)

    def output_shape(self, shape: Shape) -> Shape:
        """(channels, height, width)."""
        kind = type(self).__name__
        if len(shape) != 3:
            raise ValueError(f"{kind} takes 3 axes, got {shape}")
        return shape[:1] + windows(
            kind, shape[1:], self.kernel_size, self.stride, self.padding, (1, 1)
        )


@dataclass(frozen=True, eq=False)
class AvgPool2d(SumPool2d):
    """Mean over windows of the last two axes, zeros of the padding included."""


@dataclass(frozen=True, eq=False)
class Flatten(Operator):
    """Axes from start_dim to end_dim become one; counted without a batch axis."""

    start_dim: int = 0
    end_dim: int = -1
    given_shape: Shape | None = None

    def output_shape(self, shape: Shape) -> Shape:
        """The same elements in fewer axes."""
        if self.given_shape is not None:
            self.expect(shape, self.given_shape)
        n = len(shape)
        start, end = (d + n if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= start <= end < n:
            raise ValueError(f"Flatten from {self.start_dim} to {self.end_dim} cannot take {shape}")
        return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


@dataclass(frozen=True, eq=False)
class Delay(Operator):
    """y(t) = x(t - delay), element by element; delay in s."""

    elementwise: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    delay: np.ndarray

    def __post_init__(self):
        super().__post_init__()
        if self.delay.size and not 0 <= self.delay.min() <= self.delay.max() <= SLOWEST_S:
            span = f"[{self.delay.min()}, {self.delay.max()}]"
            raise ValueError(f"Delay: delay must lie in [0, {SLOWEST_S}] s, got {span}")


@dataclass(frozen=True, eq=False)
class Threshold(Operator):
    """z = 1 where x > threshold, else 0."""

    elementwise: ClassVar[bool] = True
    spikes: ClassVar[bool] = True
    threshold: np.ndarray


@dataclass(frozen=True, eq=False)
class I(Operator):  # noqa: E742
    """v' = r i: the integrator."""

    elementwise: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    r: np.ndarray


@dataclass(frozen=True, eq=False)
class LI(I):
    """tau v' = (v_leak - v) + r i: the leaky integrator; tau in s."""

    seconds: ClassVar[tuple[str, ...]] = ("tau",)
    tau: np.ndarray
    v_leak: np.ndarray


@dataclass(frozen=True, eq=False)
class CubaLI(I):
    """tau_syn i' = -i + w_in s, then tau_mem v' = (v_leak - v) + r i; both taus in s."""

    seconds: ClassVar[tuple[str, ...]] = ("tau_mem", "tau_syn")
    tau_mem: np.ndarray
    tau_syn: np.ndarray
    v_leak: np.ndarray
    w_in: np.ndarray


@dataclass(frozen=True, eq=False)
class Spiking(Operator):
    """z = 1 where v > v_threshold, and v returns to v_reset there."""

    elementwise: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    spikes: ClassVar[bool] = True
    v_threshold: np.ndarray
    v_reset: np.ndarray

    def __post_init__(self):
        super().__post_init__()
        if (self.v_threshold <= self.v_reset).any():
            kind = type(self).__name__
            raise ValueError(f"{kind}: v_threshold must lie above v_reset, or neurons never rest")


@dataclass(frozen=True, eq=False)
class IF(Spiking, I):
    """The integrator that spikes."""


@dataclass(frozen=True, eq=False)
class LIF(Spiking, LI):
    """The leaky integrator that spikes."""


@dataclass(frozen=True, eq=False)
class CubaLIF(Spiking, CubaLI):
    """The current-based leaky integrator that spikes."""


PRIMITIVES = {
    kind.__name__: kind
    for kind in (
        *(Input, Output, Linear, Affine, Scale, Conv1d, Conv2d, SumPool2d, AvgPool2d, Flatten),
        *(Delay, Threshold, I, IF, LI, LIF, CubaLI, CubaLIF),
    )
}


def windows(
    kind: str, size: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape
) -> Shape:
    """How many windows fit along each axis.

    Raises:
        ValueError: if none does.
    """
    fit = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    if min(fit) < 1:
        raise ValueError(f"{kind}: a window of {kernel} does not fit into {size}")
    return fit


def _check_window(kind: str, axes: int, stride: Shape, padding: Shape, extent: Shape):
    for name, values, least in (("stride", stride, 1), ("padding", padding, 0), ("", extent, 1)):
        if len(values) != axes or min(values) < least:
            what = name or "kernel size and dilation"
            raise ValueError(f"{kind}: {what} must be {axes} numbers from {least} on, got {values}")
