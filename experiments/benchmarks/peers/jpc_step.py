"""JPC's side of predictive_coding, run by the Python of JPC's environment.

JPC divides the energy of values, too, by the batch: its rate is multiplied by it. Its documented
calls for one inference step are made in one compiled loop, the fastest way we know.
"""

import importlib.metadata
import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import jpc
import numpy as np
import optax

given, held, compared, rule = sys.argv[1:]
work = dict(np.load(given))
weights = [jnp.asarray(work[name]) for name in sorted(work) if name.startswith("W")]
x, y = jnp.asarray(work["x"]), jnp.asarray(work["y"])
rate, steps, learning_rate, epsilon = 0.1, 20, 1e-3, 1e-3  # ours are the same

model = jpc.make_mlp(
    jax.random.key(0),
    input_dim=weights[0].shape[1],
    width=weights[0].shape[0],
    depth=len(weights),
    output_dim=weights[-1].shape[0],
    act_fn="tanh",
    use_bias=True,
)
linear = lambda model: [
    part
    for part in jax.tree.leaves(model, is_leaf=lambda a: isinstance(a, eqx.nn.Linear))
    if isinstance(part, eqx.nn.Linear)
]
model = eqx.tree_at(lambda m: [layer.weight for layer in linear(m)], model, weights)
zeros = [jnp.zeros(w.shape[0]) for w in weights]
model = eqx.tree_at(lambda m: [layer.bias for layer in linear(m)], model, zeros)
optim_w, optim_h = optax.adam(learning_rate, eps=epsilon), optax.sgd(rate * x.shape[0])
start = model, optim_w.init((eqx.filter(model, eqx.is_array), None))


@eqx.filter_jit
def step(model, memory):
    """One batch."""
    values = jpc.init_activities_with_ffwd(model=model, input=x)

    def body(_, carry):
        found = jpc.update_pc_activities(
            params=(model, None),
            activities=carry[0],
            optim=optim_h,
            opt_state=carry[1],
            output=y,
            input=x,
        )
        return found["activities"], found["opt_state"]

    values, _ = jax.lax.fori_loop(0, steps, body, (values, optim_h.init(values)))
    found = jpc.update_pc_params(
        params=(model, None), activities=values, optim=optim_w, opt_state=memory, output=y, input=x
    )
    return found["model"], found["opt_state"]


def repeat(times):
    """Train for so many steps from the given weights."""
    state = start
    for _ in range(times):
        state = step(*state)
    return jax.block_until_ready(state)


mean = linear(repeat(int(compared))[1][0].mu[0])  # Adam's, of the slopes
np.savez(held, **{f"W{i:02}": np.asarray(layer.weight) for i, layer in enumerate(mean, 1)})
version = f"{importlib.metadata.version('jpc')}, jax {jax.__version__}"
print(json.dumps({"version": version}), flush=True)
for line in sys.stdin:
    began = time.process_time()
    repeat(int(line))
    print(json.dumps(time.process_time() - began), flush=True)
