"""FabricPC's side of predictive_coding_step, run by the Python of FabricPC's environment."""

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

given, held, compared = sys.argv[1:]
work = dict(np.load(given))
weights = [work[name] for name in sorted(work) if name.startswith("W")]
batch = {"x": jnp.asarray(work["x"]), "y": jnp.asarray(work["y"])}
key = jax.random.key(0)  # of initial latents, which start feed-forward: not used

nodes = [IdentityNode(shape=(weights[0].shape[1],), name="0")]
for i, weight in enumerate(weights, 1):
    activation = TanhActivation() if i < len(weights) else IdentityActivation()
    nodes.append(Linear(shape=(weight.shape[0],), activation=activation, name=str(i)))
structure = graph(
    nodes=nodes,
    edges=[Edge(source=a, target=b.slot("in")) for a, b in zip(nodes, nodes[1:], strict=False)],
    task_map=TaskMap(x=nodes[0], y=nodes[-1]),
    inference=InferenceSGD(eta_infer=0.1, infer_steps=20),
)
optimizer = optax.adam(1e-3)
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
    return jax.block_until_ready(params)


learned = [np.asarray(a).T for a in jax.tree.leaves(repeat(int(compared))) if a.shape[0] > 1]
np.savez(held, **{f"W{i}": weight for i, weight in enumerate(learned, 1)})
print(json.dumps({"version": importlib.metadata.version("fabricpc")}), flush=True)
for line in sys.stdin:
    began = time.process_time()
    repeat(int(line))
    print(json.dumps(time.process_time() - began), flush=True)
