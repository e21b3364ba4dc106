"""Times PyTorch's and scikit-learn's PCA for bench/pca.ts: one process; last line JSON.

python pca_speed.py WORK
"""

import json
import sys
import time

import numpy as np
from decode_speed import peak_bytes

# Its default: five rows a feature.
ROWS_A_FEATURE = 5
SKLEARN_BATCHES = 1


def components_for(eigenvalues, total, explained):
    share = np.cumsum(eigenvalues) / total
    return int(np.searchsorted(share, explained) + 1)


def with_torch(rows, work):
    import torch

    torch.set_num_threads(work["threads"])
    dim = rows.shape[1]
    scatter = torch.zeros(dim, dim, dtype=torch.float64)
    total = torch.zeros(dim, dtype=torch.float64)
    count, times = 0, []
    data = torch.from_numpy(rows)
    for _ in range(work["blocks"] + 1):
        before = time.perf_counter()
        for piece in data.split(2048):
            wide = piece.double()
            total += wide.sum(0)
            scatter.addmm_(wide.T, wide)
            count += len(wide)
        times.append(1000 * (time.perf_counter() - before))
    before = time.perf_counter()
    mean = total / count
    covariance = scatter / count - torch.outer(mean, mean)
    values, vectors = torch.linalg.eigh(covariance)
    values = values.flip(0)
    k = components_for(values.numpy(), float(values.sum()), work["explained"])
    basis = vectors.flip(1)[:, :k].float().contiguous()
    fit = 1000 * (time.perf_counter() - before)
    assert basis.shape == (dim, k)
    about = {"torch": torch.__version__, "k": k}
    return {"ms": {"block": times[1:], "fit": [fit]}, "check": {"fit": [k]}, "about": about}


def with_sklearn(rows, work):
    import sklearn
    from sklearn.decomposition import IncrementalPCA

    size = ROWS_A_FEATURE * rows.shape[1]
    # It works in place.
    pca = IncrementalPCA(copy=False)
    times = []
    for _ in range(SKLEARN_BATCHES + 1):
        batch = np.resize(rows, (size, rows.shape[1]))
        before = time.perf_counter()
        pca.partial_fit(batch)
        times.append(1000 * (time.perf_counter() - before) * work["blockRows"] / size)
    k = components_for(pca.explained_variance_ratio_, 1, work["explained"])
    about = {"sklearn": sklearn.__version__, "batch": size, "k": k}
    return {"ms": {"block": times[1:]}, "about": about}


def main(work):
    shape = (work["blockRows"], work["dim"])
    rows = np.fromfile(work["file"], dtype=np.float32).reshape(shape)
    side = {"torch": with_torch, "sklearn": with_sklearn}[work["peer"]](rows, work)
    return side | {"peakBytes": peak_bytes()}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
