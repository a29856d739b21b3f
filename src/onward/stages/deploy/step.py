"""Package a registered model as an image, and let the image prove itself on staging."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from onward.core import digest
from onward.core.ports import Server, Servers
from onward.core.records import Deployment, ImageRef, ModelRef
from onward.stages.deploy.acceptance import checks, replayed
from onward.stages.deploy.config import Acceptance, Replay
from onward.stages.deploy.image.model import execution, labels, model_layers, tag
from onward.stages.deploy.oci.descriptor import Descriptor
from onward.stages.deploy.oci.image import add_image
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.replay import Answered
from onward.stages.deploy.staged import Staged


def package(model: ModelRef, *, folder: Path) -> ImageRef:
    """Make the model's image in the OCI layout `folder`: its own layers, without a base.

    The same model gives the same digest, and a second call finds the first one's image. Gateways
    on this machine need no more; `build` makes the image that a container runs.

    Raises
    ------
    CorruptError
        The trained folder is not what was registered.
    """
    digest.require(Path(model.path), model.digest, model.ref)
    layout = Layout(folder)
    found = add_image(
        layout,
        model_layers(layout, model),
        config=execution(model, python="python"),
        annotations=labels(model),
        platform="linux/amd64",
    )
    layout.list_entry(found, tag=None if tag(model) in layout.tags() else tag(model))
    return image_ref(layout, found, model)


def image_ref(layout: Layout, found: Descriptor, model: ModelRef) -> ImageRef:
    """Return an image of a layout as records know it."""
    return ImageRef(name=model.name, digest=found.digest, layout=str(layout.folder), model=model)


def accept(
    image: ImageRef,
    *,
    servers: Servers,
    acceptance: tuple[Acceptance, ...],
    folder: Path,
    past: Callable[[Replay], Sequence[Answered]] = lambda _: (),
) -> Deployment:
    """Start the image on staging, hold it to every check, and stop it again, whatever happened.

    `past` returns what the champion answered, for a replay.

    Raises
    ------
    OnwardError
        Staging did not start.
    """
    plain = tuple(gate for gate in acceptance if not isinstance(gate, Replay))
    with _staged(servers.start_staging, image, folder) as staged:
        results = checks(staged, plain)
    for gate in acceptance:
        if isinstance(gate, Replay) and all(result.passed for result in results):
            with _staged(servers.start_replay, image, folder / "replay") as staged:
                results += (replayed(staged, past(gate), gate),)
    return Deployment(
        environment="staging",
        image=image,
        passed=all(result.passed for result in results),
        checks=results,
    )


@contextmanager
def _staged(
    start: Callable[[ImageRef, Path], Server], image: ImageRef, folder: Path
) -> Iterator[Staged]:
    server = start(image, folder)
    try:
        yield Staged(server.url, image)
    finally:
        server.stop()
