"""spyx's side of spiking_training, run by the Python of spyx's environment."""

import importlib.metadata
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import spyx
import spyx.nn as snn
from flax import nnx

given, _, compared = sys.argv[1:]
work = dict(np.load(given))
KEEP, SLOPE, RATE = 0.95, 25.0, 1e-3
x, y = jnp.asarray(work["x"]), jnp.asarray(work["y"])
(inputs, hidden), outputs = work["w1"].shape, work["w2"].shape[1]

seeds = nnx.Rngs(0)
model = snn.Sequential(
    nnx.Linear(inputs, hidden, use_bias=False, rngs=seeds),
    snn.LIF((hidden,), beta=KEEP, threshold=1.0, activation=spyx.axn.superspike(SLOPE), rngs=seeds),
    nnx.Linear(hidden, outputs, use_bias=False, rngs=seeds),
    snn.LI((outputs,), beta=KEEP, rngs=seeds),
)
model.layers[0].kernel[...] = jnp.asarray(work["w1"])
model.layers[2].kernel[...] = jnp.asarray(work["w2"])
optimiser = nnx.Optimizer(model, optax.adam(RATE), wrt=nnx.Param)


def loss(model, x, y):
    """Cross-entropy of the largest membrane over time."""
    sent, _ = snn.run(model, x)
    return optax.softmax_cross_entropy_with_integer_labels(sent.max(0), y).mean()


train = spyx.optimize.make_train_step(loss)
losses = [float(train(model, optimiser, x, y)) for _ in range(int(compared))]
came_out = f"loss {losses[0]:.3f} to {losses[-1]:.3f}"
version = importlib.metadata.version("spyx")
print(json.dumps({"version": version, "came_out": came_out}), flush=True)
for line in sys.stdin:
    began = time.process_time()
    for _ in range(int(line)):
        value = train(model, optimiser, x, y)
    jax.block_until_ready(value)
    print(json.dumps(time.process_time() - began), flush=True)
