"""FabricPC's side of predictive_coding, run by the Python of FabricPC's environment."""

import importlib.metadata
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from fabricpc.core.activations import IdentityActivation, TanhActivation
from fabricpc.core.inference import InferenceSGD
from fabricpc.core.topology import Edge
from fabricpc.graph_assembly import TaskMap, graph
from fabricpc.graph_initialization import initialize_params
from fabricpc.nodes import IdentityNode, Linear
from fabricpc.training import make_train_step

given, held, compared, rule = sys.argv[1:]
if rule != "descent":
    sys.exit(f"FabricPC trains by descent alone, not by {rule}")
work = dict(np.load(given))
weights = [work[name] for name in sorted(work) if name.startswith("W")]
rate, steps, learning_rate, epsilon = 0.1, 20, 1e-3, 1e-3  # ours are the same
batch = {"x": jnp.asarray(work["x"]), "y": jnp.asarray(work["y"])}
key = jax.random.key(0)  # of initial latents, which start feed-forward: not used

nodes = [IdentityNode(shape=(weights[0].shape[1],), name="00")]
for i, weight in enumerate(weights, 1):  # names whose order is the layers'
    activation = TanhActivation() if i < len(weights) else IdentityActivation()
    nodes.append(Linear(shape=(weight.shape[0],), activation=activation, name=f"{i:02}"))
structure = graph(
    nodes=nodes,
    edges=[Edge(source=a, target=b.slot("in")) for a, b in zip(nodes, nodes[1:], strict=False)],
    task_map=TaskMap(x=nodes[0], y=nodes[-1]),
    inference=InferenceSGD(eta_infer=rate, infer_steps=steps),
)
optimizer = optax.adam(learning_rate, eps=epsilon)
step = make_train_step(structure, optimizer)

leaves, tree = jax.tree.flatten(initialize_params(structure, key))
given_weights = iter(weights)  # leaves are weight and bias of each node; a bias has one row
leaves = [
    jnp.zeros_like(leaf) if leaf.shape[0] == 1 else jnp.asarray(next(given_weights).T)
    for leaf in leaves
]
params = jax.tree.unflatten(tree, leaves)
start = params, optimizer.init(params)


def repeat(times):
    """Train for so many steps from the given weights."""
    params, state = start
    for _ in range(times):
        params, state, *_ = step(params, state, batch, key)
    return jax.block_until_ready((params, state))


mean = jax.tree.leaves(repeat(int(compared))[1][0].mu)  # Adam's, of the slopes
met = [np.asarray(a).T for a in mean if a.shape[0] > 1]
np.savez(held, **{f"W{i:02}": slope for i, slope in enumerate(met, 1)})
print(json.dumps({"version": importlib.metadata.version("fabricpc")}), flush=True)
for line in sys.stdin:
    began = time.process_time()
    repeat(int(line))
    print(json.dumps(time.process_time() - began), flush=True)
