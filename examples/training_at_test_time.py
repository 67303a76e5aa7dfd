"""Test-time training: the encoder goes on learning, without labels, on a shifted test batch.

python examples/training_at_test_time.py
"""

import torch
from series import gestures, neighbours

from tsssl_fast import augment, encoders, methods, training

torch.manual_seed(0)
x, y = gestures(384)
x_test, y_test = gestures(128, seed=1)
shifted = 1.5 * x_test + 0.6 * torch.randn(x_test.shape, generator=torch.Generator().manual_seed(2))

encoder = encoders.build("patch_transformer", channels=3, length=128, width=48, depth=2)
method = methods.TestTimeTraining.recipe(
    encoder, augment.Compose([augment.Jitter(0.05)]), steps=5, test_lr=0.01
)
training.fit(
    method,
    x,
    training.Settings(epochs=20, batch_size=96, lr=2e-3),
    on_epoch=lambda row, state: print(f"epoch {row['epoch']:.0f}: loss {row['loss']:.3f}"),
)
method.eval()
with torch.no_grad():
    train_z, plain_z = method.encoder(x), method.encoder(x_test)
    frozen_z = method.encoder(shifted)
adapted_z = method.features(shifted, seed=0)  # on a copy: the next batch starts from the same
print(f"test series as they are: {neighbours(train_z, y, plain_z, y_test):.3f}")
print(f"shifted, frozen encoder: {neighbours(train_z, y, frozen_z, y_test):.3f}")
print(f"shifted, adapted on the batch: {neighbours(train_z, y, adapted_z, y_test):.3f}")
