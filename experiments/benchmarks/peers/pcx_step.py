"""PCX's side of predictive_coding, run by the Python of PCX's environment."""

import importlib.metadata
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pcx as px
import pcx.functional as pxf
import pcx.nn as pxnn
import pcx.predictive_coding as pxc
import pcx.utils as pxu

given, held, compared, rule = sys.argv[1:]
work = dict(np.load(given))
weights = [jnp.asarray(work[name]) for name in sorted(work) if name.startswith("W")]
x, y = jnp.asarray(work["x"]), jnp.asarray(work["y"])
rate, steps, learning_rate, epsilon = 0.1, 20, 1e-3, 1e-3  # ours are the same
px.RKG.seed(0)


class Net(pxc.EnergyModule):
    """Convolutions where weights have four axes, else linear layers; tanh between."""

    def __init__(self):
        super().__init__()
        self.layers = [
            pxnn.Linear(w.shape[1], w.shape[0])
            if w.ndim == 2
            else pxnn.Conv2d(w.shape[1], w.shape[0], kernel_size=(3, 3), padding=(1, 1))
            for w in weights
        ]
        self.pool = pxnn.MaxPool2d(kernel_size=2, stride=2)
        self.vodes = [pxc.Vode() for _ in weights]
        self.vodes[-1].h.frozen = True

    def __call__(self, x, y):
        """Predicted label; values are set on the way."""
        for i, (layer, vode, weight) in enumerate(
            zip(self.layers, self.vodes, weights, strict=True)
        ):
            u = layer(x if weight.ndim == 4 else x.reshape(-1))
            if i < len(weights) - 1:
                u = jnp.tanh(u)
                if weight.ndim == 4:
                    u = self.pool(u)
            x = vode(u)
        if y is not None:
            self.vodes[-1].set("h", y)
        return self.vodes[-1].get("u")


values_by_sample = lambda: pxu.M(pxc.VodeParam | pxc.VodeParam.Cache).to((None, 0))
free_values = lambda: pxu.M_hasnot(pxc.VodeParam, frozen=True)  # anew: masks change in place
parameters = lambda: pxu.M(pxnn.LayerParam)


@pxf.vmap(values_by_sample(), in_axes=(0, 0), out_axes=0)
def forward(x, y, *, model):
    """Set all values to their predictions."""
    return model(x, y)


@pxf.vmap(values_by_sample(), in_axes=(0,), out_axes=(None, 0), axis_name="b")
def energy(x, *, model):
    """Sum over the batch."""
    u = model(x, None)
    return jax.lax.psum(model.energy(), "b"), u


@pxf.jit()
def train(x, y, *, model, optim_w, optim_h):
    """One batch, its inference unrolled as in PCX's own examples."""
    model.train()
    with pxu.step(model, pxc.STATUS.INIT, clear_params=pxc.VodeParam.Cache):
        forward(x, y, model=model)
    optim_h.init(free_values()(model))
    for _ in range(steps):
        moving = (free_values() | parameters()) if rule == "incremental" else free_values()
        with pxu.step(model, clear_params=pxc.VodeParam.Cache):
            _, g = pxf.value_and_grad(moving.to([False, True]), has_aux=True)(energy)(
                x, model=model
            )
        if rule == "incremental":
            optim_w.step(model, g["model"], scale_by=1.0 / x.shape[0])
        optim_h.step(model, g["model"])
    optim_h.clear()
    if rule != "incremental":
        with pxu.step(model, clear_params=pxc.VodeParam.Cache):
            _, g = pxf.value_and_grad(parameters().to([False, True]), has_aux=True)(energy)(
                x, model=model
            )
        optim_w.step(model, g["model"], scale_by=1.0 / x.shape[0])


model = Net()
with pxu.step(model, pxc.STATUS.INIT, clear_params=pxc.VodeParam.Cache):
    forward(jnp.zeros_like(x), None, model=model)
for layer, weight in zip(model.layers, weights, strict=True):
    layer.nn.weight.set(weight)
    layer.nn.bias.set(jnp.zeros_like(layer.nn.bias.get()))
optim_w = pxu.Optim(lambda: optax.adam(learning_rate, eps=epsilon), parameters()(model))
optim_h = pxu.Optim(lambda: optax.sgd(rate))


def repeat(times):
    """Train for so many steps more."""
    for _ in range(times):
        train(x, y, model=model, optim_w=optim_w, optim_h=optim_h)
    jax.block_until_ready(model.layers[0].nn.weight.get())


repeat(int(compared))
mean = optim_w.state.get()[0].mu  # Adam's, of the slopes
met = {f"W{i:02}": np.asarray(l.nn.weight.get()) for i, l in enumerate(mean.layers, 1)}
np.savez(held, **met)
version = f"{importlib.metadata.version('pcx')}, jax {jax.__version__}"
print(json.dumps({"version": version}), flush=True)
for line in sys.stdin:
    began = time.process_time()
    repeat(int(line))
    print(json.dumps(time.process_time() - began), flush=True)
