"""Pre-training as a step of a scikit-learn pipeline, with a search over its parameters.

python examples/scikit_learn_pipeline.py
"""

from series import gestures
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tsssl_fast.estimators import SimCLREncoder, SSLClassifier

x, y = (a.numpy() for a in gestures(160, steps=64))
x_test, y_test = (a.numpy() for a in gestures(160, steps=64, seed=1))

model = make_pipeline(
    SimCLREncoder(epochs=5, batch_size=32, random_state=0),
    StandardScaler(),
    LogisticRegression(max_iter=1000),
)
print(f"accuracy: {model.fit(x, y).score(x_test, y_test):.3f}")

search = GridSearchCV(model, {"simclrencoder__temperature": [0.1, 0.5]}, cv=2).fit(x, y)
print(f"chosen: {search.best_params_}")

# One label in eight; -1 stands for none.
some = y.copy()
some[[i for i in range(len(y)) if i % 8]] = -1
few = SSLClassifier(method="vicreg", unlabelled=-1, epochs=5, batch_size=32, random_state=0)
print(f"accuracy with {(some >= 0).sum()} labels: {few.fit(x, some).score(x_test, y_test):.3f}")
