"""Where the tasks of a search run: in this process, in joblib's workers, or on a Dask cluster through joblib."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from joblib import Parallel, parallel_config

# Packages that every worker can import; anything else travels by value.
_INSTALLED = ("paper_checks", "bounds", "linear", "__main__")


@contextmanager
def pool(jobs: int, backend: str | None, scheduler: str | None, *travelling: Any) -> Iterator[Parallel | None]:
    """A `Parallel` with `jobs` workers of that joblib backend, or None where one process is enough.

    backend "dask" runs on the workers of the Dask scheduler at `scheduler` (tcp://host:port), all of them. travelling:
    functions and objects whose modules the workers may not be able to import.

    Raises ValueError for jobs < 1, a scheduler without the Dask backend or the other way round, a scheduler that does not
    answer, workers with several threads, or Dask not being installed.
    """
    if jobs < 1:
        raise ValueError(f"jobs = {jobs!r}: must be at least 1")
    if (backend == "dask") != (scheduler is not None):
        raise ValueError(
            f"backend = {backend!r}, scheduler = {scheduler!r}: the Dask backend needs an address, no other does"
        )
    if jobs == 1 and backend is None:
        yield None
        return
    with ExitStack() as stack:
        if scheduler is not None:
            stack.enter_context(_client(scheduler))
            jobs = -1
        for thing in travelling:
            stack.enter_context(_by_value(thing))
        if backend is not None:
            stack.enter_context(parallel_config(backend))
        yield stack.enter_context(Parallel(n_jobs=jobs))


@contextmanager
def _client(scheduler: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("backend = 'dask': needs the extra [cluster] (dask and distributed)") from error
    try:
        client = Client(scheduler, timeout=10, set_as_default=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"scheduler = {scheduler!r}: no Dask scheduler answers there ({error})") from error
    with client:
        threads = client.nthreads()
        if not threads:
            raise ValueError(f"scheduler = {scheduler!r}: has no workers")
        # Ball arithmetic keeps its precision per process: two searches in one process would disturb each other.
        if any(count != 1 for count in threads.values()):
            raise ValueError(f"scheduler = {scheduler!r}: start its workers with one thread each (--nthreads 1)")
        yield client


@contextmanager
def _by_value(thing: Any) -> Iterator[None]:
    """Let the module that defines a user's function or class travel with it."""
    name = getattr(thing, "__module__", None) or type(thing).__module__
    module = sys.modules.get(name)
    if module is None or name.split(".")[0] in (*_INSTALLED, "builtins"):
        yield
        return
    picklers = []
    # joblib brought its own cloudpickle along until 1.5; Dask uses the one on the path.
    for home in ("cloudpickle", "joblib.externals.cloudpickle"):
        try:
            picklers.append(importlib.import_module(home))
        except ImportError:
            continue
    for pickler in picklers:
        pickler.register_pickle_by_value(module)
    try:
        yield
    finally:
        for pickler in picklers:
            pickler.unregister_pickle_by_value(module)
