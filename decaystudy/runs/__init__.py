"""One run on disk: settings and identity, folder, lock and lease, results. Knows nothing of studies."""
