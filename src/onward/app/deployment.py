"""Putting a project's model where containers run: what is to run, and the target that runs it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from onward.core.errors import DeclarationError, NotFoundError, OnwardError, unknown_name
from onward.core.events import Event
from onward.core.files import write_whole

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.records import ModelRef, Route
    from onward.stages.deploy.oci.layout import Layout
    from onward.stages.deploy.port import Target
    from onward.stages.deploy.workload import Arm, Workload

GROUP: Final = "onward.targets"
"""The group of entry points in which a package names its targets; each makes a `Target`."""

_ADAPTERS: Final = "onward.stages.deploy.adapters"

EMBEDDED: Final = (
    EntryPoint("kubernetes", f"{_ADAPTERS}.kubernetes:KubernetesTarget", GROUP),
    EntryPoint("helm", f"{_ADAPTERS}.helm:HelmTarget", GROUP),
    EntryPoint("kserve", f"{_ADAPTERS}.kserve:KServeTarget", GROUP),
    EntryPoint("compose", f"{_ADAPTERS}.compose:ComposeTarget", GROUP),
    EntryPoint("ray-serve", f"{_ADAPTERS}.ray_serve:RayServeTarget", GROUP),
    EntryPoint("local", f"{_ADAPTERS}.processes:LocalTarget", GROUP),
)

_IN_THE_PROJECT: Final = ("local", "ray-serve")
"""Targets that read the project's own routes, images and stores, and write its prediction log."""

_PORTS: Final = {"redis": 6379, "postgres": 5432}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was put into effect: the images that were pushed, the folder, the command."""

    pushed: Sequence[str]
    folder: Path
    command: Sequence[str]


def find_target(name: str) -> Target:
    """Return a target by name, ours or a package's.

    Raises
    ------
    NotFoundError
        There is none.
    """
    named = {entry.name: entry for entry in (*entry_points(group=GROUP), *EMBEDDED)}
    if name not in named:
        what, expected = unknown_name("target", name, named)
        raise NotFoundError(
            what,
            expected=expected,
            next_step=f"install the package that adds it in its entry points {GROUP!r}",
        )
    try:
        made: Target = named[name].load()()
    except (ImportError, AttributeError) as error:
        raise DeclarationError(
            f"the target {named[name].value} cannot be loaded: {error}",
            expected="an installed package and its dependencies",
        ) from None
    return made


def render(project: Project, target: str) -> Mapping[str, str]:
    """Return the files that describe at `target` what serves now, by path."""
    return find_target(target).render(workload(project, target))


def write(files: Mapping[str, str], folder: Path) -> Sequence[Path]:
    """Write rendered files into a folder; files of an earlier rendering that are not among them go.

    Each file changes in one step: a gateway that follows the routes in it sees the old or the new.

    Raises
    ------
    OnwardError
        The folder holds something that is no rendering.
    """
    mark = folder / ".onward-rendered"
    if folder.is_dir() and any(folder.iterdir()) and not mark.exists():
        raise OnwardError(
            f"{folder} holds files that `onward deploy render` did not write",
            expected="an empty folder, or one that it wrote before",
            next_step="choose another with --out",
        )
    before = mark.read_text().splitlines() if mark.exists() else []
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text("".join(f"{name}\n" for name in sorted({*before, *files})))
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode())
    for name in before:
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    mark.write_text("".join(f"{name}\n" for name in sorted(files)))
    return [folder / name for name in sorted(files)]


def apply(project: Project, target: str) -> Applied:
    """Push what serves, render it, put it into effect with the target's own tool, and record it.

    Raises
    ------
    NotFoundError
        The tool is not on the path.
    OnwardError
        The tool failed, with its own words.
    """
    from onward.app.access import require
    from onward.app.registry import push

    chosen, wanted = find_target(target), workload(project, target)
    images = [arm.route.image for arm in wanted.arms]
    by = require(project, "promote", project.definition.model, images=images).name
    folder = project.settings.state / "deploy" / target
    command = chosen.command(folder, wanted)
    if not command:
        raise OnwardError(
            f"there is nothing to put into effect for target {target!r}",
            next_step="`onward up` serves on this machine",
        )
    if shutil.which(command[0]) is None:
        raise NotFoundError(
            f"{command[0]} is not on the path, and puts {target} files into effect",
            next_step=f"install it; or `onward deploy render --target {target} --out DIR`, and "
            "apply them where it is",
        )
    pushed = [str(push(project, arm.route.image.digest)[0]) for arm in wanted.arms if arm.image]
    write(chosen.render(wanted), folder)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise OnwardError(
            f"{command[0]} failed: {words[-1] if words else f'status {done.returncode}'}",
            next_step=f"what it was given is in {folder}",
        )
    at = project.clock.now()
    project.ledger.append(
        Event(
            kind="deployment.applied",
            key=f"{target}/{wanted.model}/{at.isoformat()}",
            subject=wanted.model,
            at=at,
            inputs=tuple(arm.route.image.ref for arm in wanted.arms),
            facts={"target": target, "pushed": pushed, "by": by},
        )
    )
    return Applied(pushed=pushed, folder=folder, command=command)


def workload(project: Project, target: str) -> Workload:
    """Return what serves now, by the routes: the champion, and a candidate with its share.

    Raises
    ------
    NotFoundError
        Nothing was released yet, or a version has no whole image.
    DeclarationError
        No registry is set, or features are looked up in a file of this machine.
    """
    from onward.app.images import open_layout
    from onward.stages.deploy.workload import Arm, Workload, gateway_in_a_cluster
    from onward.stages.serve.routes import read_routes

    model = project.definition.model
    file = project.settings.state / "routes" / f"{model}.json"
    if not file.exists():
        raise NotFoundError(
            f"no version of {model!r} serves yet", next_step="`onward run` releases the first"
        )
    routes, _ = read_routes(file)
    if target in _IN_THE_PROJECT:
        arms = [Arm(route=route, image="", python="") for route in routes.routes]
        config = _local_config(project)
    else:
        layout = open_layout(project.settings)
        arms = [_arm(project, layout, route) for route in routes.routes]
        config = gateway_in_a_cluster(_config(project, routes.routes[0].image.model))
    return Workload(
        traffic=routes,
        arms=tuple(arms),
        wants=project.definition.pipeline.deploy,
        config=config,
        egress=_egress(project),
    )


def _local_config(project: Project) -> Mapping[str, Any]:
    import msgspec

    from onward.app.gateway.config import config

    settings = project.settings
    found = config(
        settings,
        clock="system",
        port=settings.gateway.port,
        access=project.definition.access,
    )
    return {**msgspec.to_builtins(found), "parent": None}


def _arm(project: Project, layout: Layout, route: Route) -> Arm:
    from onward.app.images import find
    from onward.app.registry import pushed_as
    from onward.stages.deploy.image.model import PART
    from onward.stages.deploy.oci.image import read_image
    from onward.stages.deploy.workload import Arm

    model = route.image.model
    found = find(layout, f"{model.name}:{model.version}")
    image = read_image(layout, found)
    if all(layer.descriptor.annotations.get(PART) != "base" for layer in image.layers):
        raise NotFoundError(
            f"version {model.version} of {model.name!r} has no whole image",
            next_step=f"`onward image build --version {model.version}`; with [deploy] base in "
            "onward.toml every run makes one",
        )
    reference = replace(pushed_as(project.settings, image), digest=found.digest)
    served = replace(route, image=replace(route.image, digest=found.digest))
    return Arm(route=served, image=str(reference), python=image.config["Entrypoint"][0])


def _config(project: Project, model: ModelRef) -> Mapping[str, Any]:
    import json

    import msgspec

    from onward.app.online import opener
    from onward.stages.deploy.image.model import STATE, gateway_config
    from onward.stages.deploy.workload import SECRETS

    settings = project.settings
    planned = json.loads((Path(model.path) / "plan.json").read_bytes())
    config = gateway_config(planned)
    if not planned["plan"]["views"]:
        return config
    if settings.online.store == "sqlite":
        views = ", ".join(view["name"] for view in planned["plan"]["views"])
        raise DeclarationError(
            f"features of {views} are looked up in a file of this machine",
            expected="an online store that other machines reach",
            next_step='set [online] store = "redis" or "postgres", and its url, in onward.toml',
        )
    timeout_s = settings.online.timeout.total_seconds()
    store = msgspec.to_builtins(opener(settings, timeout_s=timeout_s))
    store["arguments"]["secrets"] = {"keyfile": f"/{STATE}/secrets.json", "folder": SECRETS}
    return {**config, "online": store, "online_timeout_s": timeout_s}


def _egress(project: Project) -> tuple[int, ...]:
    store, url = project.settings.online.store, project.settings.online.url
    if store == "sqlite":
        return ()
    return (urlsplit(url).port or _PORTS[store],)
