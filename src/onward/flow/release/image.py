"""Images of registered versions: made in a run, or on request."""

from __future__ import annotations

from pathlib import Path

from onward.core.errors import NotFoundError
from onward.core.ports import Ledger
from onward.core.records import ImageRef, ModelRef, RunRef
from onward.flow.happened import fact, happened
from onward.flow.site import Site
from onward.stages.deploy.image.build import build
from onward.stages.deploy.oci.layout import Layout
from onward.stages.deploy.port import Made, Workbench
from onward.stages.deploy.step import package


def packaged(site: Site, model: ModelRef, run: str) -> ImageRef:
    """Make the version's image within a run: whole where the site has a workbench."""
    if site.workbench is None:
        image = package(model, folder=site.folders.images)
    else:
        image = build(
            model,
            made(site.ledger, model),
            bench=site.workbench,
            folder=site.folders.images,
        )
    return _told(site, image, run)


def there(image: ImageRef) -> ImageRef:
    """Return an image of which the layout still has the manifest, packaging it again if need be.

    An image of the model alone is made again with the same digest.

    Raises
    ------
    NotFoundError
        It was pruned, and is one that only `build_image` makes.
    """
    layout = Layout(Path(image.layout))
    if not image.layout or layout.has(image.digest):
        return image
    again = package(image.model, folder=layout.folder)
    if again.digest != image.digest:
        raise NotFoundError(
            f"the image of version {image.model.version} of {image.name!r} was pruned",
            expected=f"{image.digest} in {layout.folder}",
            next_step=f"`onward image pull HOST/NAME:{image.model.version}` brings it back from "
            "the registry that it was pushed to",
        )
    return again


def build_image(site: Site, model: ModelRef, bench: Workbench) -> ImageRef:
    """Build the whole image of a version that was registered before."""
    image = build(model, made(site.ledger, model), bench=bench, folder=site.folders.images)
    return _told(site, image, None)


def registered(ledger: Ledger, name: str, version: int | None = None) -> ModelRef:
    """Return a registered version, the newest unless one is named.

    Raises
    ------
    NotFoundError
        There is none.
    """
    told = ledger.events(kind="model.registered", subject=name)
    models = {model.version: model for model in (fact(t, "model", ModelRef) for t in told)}
    if version is None and models:
        return models[max(models)]
    if version not in models:
        what = f"no version of {name!r} is registered" if not models else (
            f"there is no version {version} of {name!r}"
        )  # fmt: skip
        raise NotFoundError(
            what,
            expected=f"one of {', '.join(map(str, sorted(models)))}" if models else None,
            next_step="`onward models` lists them; `onward run` makes the first",
        )
    return models[version]


def made(ledger: Ledger, model: ModelRef) -> Made:
    """Return how a version came to be, as the ledger tells it."""
    told = ledger.producing(model.trained, last=1)
    trained = fact(told[0], "trained", RunRef) if told else None
    return Made(trained=trained, run=told[0].event.run if told else None)


def _told(site: Site, image: ImageRef, run: str | None) -> ImageRef:
    happened(
        site,
        "image.packaged",
        image.name,
        key=image.ref,
        run=run,
        inputs=(image.model.ref,),
        outputs=(image.ref,),
        image=image,
    )
    return image
