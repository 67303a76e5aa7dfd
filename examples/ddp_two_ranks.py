"""Two processes train on the loss of all rows of both; DDP averages their gradients.

torchrun --standalone --nproc-per-node 2 examples/ddp_two_ranks.py
"""

import torch
import torch.distributed
from series import gestures

from tsssl_fast import augment, distributed, losses

torch.distributed.init_process_group("gloo")
torch.set_num_threads(1)
rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()

torch.manual_seed(0)
encoder = torch.nn.Sequential(
    torch.nn.Conv1d(3, 32, 9, stride=4),
    torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool1d(1),
    torch.nn.Flatten(),
    torch.nn.Linear(32, 32),
)
model = torch.nn.parallel.DistributedDataParallel(encoder)
pipeline = augment.presets.simclr_ts()
loss_function = losses.NTXentLoss(temperature=0.2, process_group="world")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

x, _ = gestures(256)
for step in range(6):
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(step))[:128]
    mine = rows.chunk(ranks)[rank]  # its rows of the batch, under their places in the data
    v1, v2 = pipeline(x[mine], views=2, seed=0, step=step, sample_ids=mine)
    loss = loss_function(model(v1), model(v2))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# Every process has the loss of the whole batch, and the same weights.
losses_of_all = distributed.gather_rows(loss.detach()[None])
weights = distributed.gather_rows(encoder[0].weight.detach().reshape(1, -1))
assert torch.equal(losses_of_all[0], losses_of_all[-1])
assert torch.equal(weights[0], weights[-1])
if rank == 0:
    print(f"{ranks} processes, loss of {len(rows)} series: {loss.item():.4f}")
torch.distributed.barrier()  # in torch 2.13 one that leaves earlier may end the other
torch.distributed.destroy_process_group()
