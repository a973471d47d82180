"""The training step's options: each against plain PyTorch, written out here."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pix2pix.config import TrainConfig, train_config
from pix2pix.errors import UserError
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import load_model
from pix2pix.models.translator import Translator
from pix2pix.nn.diffaugment import Augmentation
from pix2pix.nn.layers import FastDownConv, FastUpConv, WinogradConv, is_faster
from pix2pix.presets import PRESETS
from pix2pix.training.distributed import ProcessGroup
from pix2pix.training.loop import load_initial_weights
from pix2pix.training.resolve_config import resolve_config
from pix2pix.training.trainer import Trainer, learning_rate
from tests.support.models_and_servers import save_tiny_model, tiny_config

CPU = torch.device("cpu")
SMALL = TrainConfig(size=64, ngf=4, ndf=4, precision="float32")
OFF = {
    "adversarial": "bce", "lambda_perceptual": 0.0, "lambda_features": 0.0, "diffaugment": False,
    "d_lr": 0.0, "schedule": "linear", "gradient_accumulation_steps": 1, "channels_last": False,
    "compile": False,
}  # fmt: skip


def pictures(seed: int, count: int = 2, channels: int = 3) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, 64, 64, generator=rng) * 2 - 1


def doubled(config: TrainConfig) -> Trainer:
    """In float64: Adam scales the rounding noise of gradients that are none up to whole steps."""
    trainer = Trainer(config, CPU)
    trainer.generator.double()
    trainer.discriminator.double()
    if trainer.features:
        trainer.features = copy.deepcopy(trainer.features).double()  # it is shared by all trainers
    return trainer


# ------------------------------------------------------------------------------------ the options


@pytest.mark.parametrize(
    "preset", [name for name in PRESETS if name not in ("recommended", "quick")]
)
def test_presets_of_others_use_no_option(preset: str) -> None:
    config = train_config(preset)
    assert {name: getattr(config, name) for name in OFF} == OFF


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"adversarial": "wasserstein"}, "adversarial must be one of bce, least-squares, hinge"),
        ({"lambda_features": -1.0}, "lambda_features must be from 0"),
        ({"lambda_features": math.nan}, "lambda_features must be from 0"),
        ({"d_lr": 2.0}, "d_lr must be from 0"),
        ({"d_lr": 1e-4, "lr": 0.0}, "give lr a value above 0"),
        ({"schedule": "step"}, "schedule must be one of linear, cosine"),
        ({"schedule": "cosine", "decay": 0.0}, "add decay=0.5"),
        ({"layers": -1}, "layers must be from 0 to 6"),
        ({"source_channels": 2}, "source_channels must be 1, 3 or 4, or 0"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps must be from 1"),
        ({"diffaugment": "yes"}, "diffaugment must be of type bool"),
        ({"compile": "on"}, "compile must be of type bool"),
        ({"keep_light": True}, "keep_light is for grey photos: add derive=grey"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(values: dict, says: str) -> None:
    with pytest.raises(UserError, match=says) as refused:
        TrainConfig(**values)
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)


def test_colours_are_judged_as_the_translator_gives_them(float32: None) -> None:
    config = TrainConfig(
        size=64, ngf=8, ndf=8, source_channels=1, derive="grey", keep_light=True, dropout="none"
    )
    trainer, grey = Trainer(config, torch.device("cpu")), pictures(0, 1, 1)
    photo = Image.fromarray(((grey[0, 0].numpy() + 1) * 127.5).round().astype("uint8"))
    grey = torch.from_numpy(np.asarray(photo, "float32")[None, None] / 127.5 - 1)
    judged: list[Tensor] = []
    trainer.d.register_forward_pre_hook(lambda _, given: judged.append(given[-1]))
    trainer.step(grey, grey.expand(-1, 3, -1, -1))

    trainer = Trainer(config, torch.device("cpu"))  # the weights before the step
    with torch.no_grad():
        for p in trainer.generator.out.parameters():
            p.mul_(8)  # colours that can be told from grey
    shown = trainer.as_translated(trainer.generator(grey), grey).detach()
    model = ModelConfig(config.generator_config(), training={"derive": "grey"})
    picture = np.asarray(Translator(trainer.generator, model)(photo), "float32")
    wrong = np.abs((shown[0].permute(1, 2, 0).numpy() + 1) * 127.5 - picture)
    assert np.ptp(picture, axis=2).mean() > 20 and wrong.max() <= 4 and wrong.mean() < 1
    luma = (judged[0] * torch.tensor((0.299, 0.587, 0.114))[:, None, None]).sum(1, keepdim=True)
    assert (luma - grey).abs().mean() < 0.02


def test_the_cosine_schedule_falls_slowly_at_both_ends() -> None:
    config = replace(SMALL, lr=0.2, decay=0.5, schedule="cosine")
    rates = [learning_rate(config, step, 100) for step in (0, 50, 60, 75, 90, 99)]
    falling = [0.1 + 0.1 * math.cos(math.pi * share) for share in (0.2, 0.5, 0.8, 0.98)]
    expected = [0.2, 0.2, *falling]
    assert rates == pytest.approx(expected)
    flat = replace(config, schedule="linear", decay=0.0)
    assert {learning_rate(flat, step, 9) for step in range(9)} == {0.2}


def test_the_discriminators_learning_rate_keeps_its_proportion() -> None:
    trainer = Trainer(replace(SMALL, lr=1e-4, d_lr=4e-4), CPU)

    def rates() -> list[float]:
        return [o.param_groups[0]["lr"] for o in (trainer.g_optimizer, trainer.d_optimizer)]

    assert rates() == pytest.approx([1e-4, 4e-4])
    trainer.set_lr(5e-5)
    assert rates() == pytest.approx([5e-5, 2e-4])


# ------------------------------------------------------------- steps that are those of plain torch

bce = nn.functional.binary_cross_entropy_with_logits


def bce_goal(logits: Tensor, goal: float) -> Tensor:
    return bce(logits, torch.full_like(logits, goal))


LOSSES: dict[str, tuple[Callable, Callable, Callable]] = {
    "bce": (lambda x: bce_goal(x, 1), lambda x: bce_goal(x, 0), lambda x: bce_goal(x, 1)),
    "least-squares": (
        lambda x: ((x - 1) ** 2).mean(),
        lambda x: (x**2).mean(),
        lambda x: ((x - 1) ** 2).mean(),
    ),
    "hinge": (
        lambda x: torch.clamp(1 - x, min=0).mean(),
        lambda x: torch.clamp(1 + x, min=0).mean(),
        lambda x: -x.mean(),
    ),
}


def mean_of_scales(loss: Callable) -> Callable:
    return lambda scales: sum(map(loss, scales)) / len(scales)


def lite0_maps(stages: nn.ModuleList, picture: Tensor) -> list[Tensor]:
    x, maps = (picture * 127.5 + 127.5 - 127) / 128, []
    for stage in stages:
        x = stage(x)
        maps.append(x)
    return maps


def plain_perceptual(generated: list[Tensor], target: list[Tensor]) -> Tensor:
    distances = []
    for a, b in zip(generated, target):
        a, b = (x / x.square().sum(1, keepdim=True).sqrt().clamp(min=1e-8) for x in (a, b))
        distances.append((a - b).square().sum(1).mean())
    return sum(distances) / 4


def inner(judge: nn.Module, source: Tensor, picture: Tensor) -> list[Tensor]:
    """What D's LeakyReLUs send on, caught by hooks."""
    caught: list[Tensor] = []
    layers = [m for m in judge.modules() if isinstance(m, nn.LeakyReLU)]
    hooks = [m.register_forward_hook(lambda m, given, out: caught.append(out)) for m in layers]
    judge(source, picture)
    for hook in hooks:
        hook.remove()
    return caught


PROJECTED = {"discriminator": "projected", "adversarial": "hinge", "lambda_perceptual": 10.0}
OPTIONS = {
    "projected": PROJECTED,
    "perceptual": {"lambda_perceptual": 10.0},
    "least squares": {"adversarial": "least-squares"},
    "hinge": {"adversarial": "hinge"},
    "features": {"lambda_features": 10.0},
    "two rates": {"d_lr": 5e-4},
    "channels last": {"channels_last": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_step_is_that_of_plain_torch(options: dict) -> None:
    config = replace(SMALL, **options)
    trainer = doubled(config)
    generator, judge = map(copy.deepcopy, (trainer.generator, trainer.discriminator))
    real_loss, fake_loss, g_loss = LOSSES[config.adversarial]
    if config.discriminator == "projected":  # scales count alike; D takes maps, and both at once
        real_loss, fake_loss, g_loss = map(mean_of_scales, (real_loss, fake_loss, g_loss))
    betas = (0.5, 0.999)
    g_adam = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=betas)
    d_adam = torch.optim.Adam(judge.parameters(), lr=options.get("d_lr", 2e-4), betas=betas)
    for step in range(2):
        source, target = pictures(2 * step).double(), pictures(2 * step + 1).double()
        torch.manual_seed(step)  # dropout
        losses = trainer.step(source, target)

        torch.manual_seed(step)
        fake = generator(source)
        real_seen, fake_seen = target, fake
        if "lambda_perceptual" in options:
            real_maps, fake_maps = (lite0_maps(trainer.features.stages, x) for x in (target, fake))
        if config.discriminator == "projected":
            real_seen, fake_seen = real_maps, fake_maps
            logits = judge(source, real_seen, [x.detach() for x in fake_seen])
        else:
            logits = judge(source, target), judge(source, fake.detach())
        expected = {"d_real": real_loss(logits[0]), "d_fake": fake_loss(logits[1])}
        d_adam.zero_grad()
        (0.5 * (expected["d_real"] + expected["d_fake"])).backward()
        d_adam.step()
        if config.discriminator == "projected":
            judge.update_norms()
        expected["g_adversarial"] = g_loss(judge(source, fake_seen))
        expected["g_l1"] = (fake - target).abs().mean()
        total = expected["g_adversarial"] + 100 * expected["g_l1"]
        if "lambda_perceptual" in options:
            expected["g_perceptual"] = plain_perceptual(fake_maps, real_maps)
            total = total + 10 * expected["g_perceptual"]
        if "lambda_features" in options:
            ours, real = inner(judge, source, fake), inner(judge, source, target)
            assert len(ours) == 4
            differences = [(a - b.detach()).abs().mean() for a, b in zip(ours, real)]
            expected["g_features"] = sum(differences) / 4
            total = total + 10 * expected["g_features"]
        g_adam.zero_grad()
        total.backward()
        g_adam.step()
        assert losses == pytest.approx({k: v.item() for k, v in expected.items()}, rel=1e-9)
    for ours, plain in ((trainer.generator, generator), (trainer.discriminator, judge)):
        found = ours.state_dict()
        assert found.keys() == plain.state_dict().keys()
        for name, value in plain.named_parameters():
            torch.testing.assert_close(found[name], value, atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("steps", "options"),
    [(2, {"lambda_features": 1.0}), (5, {"lambda_features": 1.0}), (3, PROJECTED)],
)
def test_parts_of_a_batch_add_up_to_it(steps: int, options: dict) -> None:
    config = replace(SMALL, norm="instance", dropout="none", batch_size=5, **options)
    whole, parts = doubled(config), doubled(replace(config, gradient_accumulation_steps=steps))
    for step in range(2):
        source, target = (pictures(2 * step + side, count=5).double() for side in (0, 1))
        expected = whole.step(source, target)
        assert parts.step(source, target) == pytest.approx(expected, rel=1e-9)
    for ours, plain in (
        (parts.generator, whole.generator),
        (parts.discriminator, whole.discriminator),
    ):
        for one, other in zip(ours.parameters(), plain.parameters()):
            torch.testing.assert_close(one, other, atol=1e-8, rtol=0)


def test_parts_of_a_batch_go_through_one_by_one() -> None:
    trainer = Trainer(replace(SMALL, batch_size=2, gradient_accumulation_steps=2), CPU)
    sizes: list[int] = []
    trainer.generator.register_forward_hook(lambda m, given, out: sizes.append(len(out)))
    trainer.step(pictures(0, 4), pictures(1, 4))
    assert sizes == [2, 2, 2, 2]
    trainer.step(pictures(0, 1), pictures(1, 1))  # an epoch's last, smaller batch
    assert sizes[4:] == [1]


# ---------------------------------------------------------------- augmentation of what D sees


def test_source_and_picture_are_moved_and_cut_alike() -> None:
    torch.manual_seed(0)
    change = Augmentation.draw(6)
    same = replace(change, colour=torch.full((6, 3), 0.5))  # brightness + 0, the others x 1
    x = pictures(0, 6) + 3  # nowhere 0
    source, picture = same(x, x)
    torch.testing.assert_close(source, picture)
    assert torch.equal(change(x, x)[0], source)  # colour leaves the source alone
    assert not torch.allclose(change(x, x)[1], picture)
    for i, (y, z) in enumerate((same.shift * 17).long().tolist()):
        kept = source[i, 0] != 0
        moved = nn.functional.pad(x[i], (8, 8, 8, 8))[:, y : y + 64, z : z + 64]
        assert torch.equal(source[i][:, kept], moved[:, kept])
        row, column = (same.hole[i] * 64).long().tolist()
        hole = source[i, 0, max(row - 16, 0) : row + 16, max(column - 16, 0) : column + 16]
        assert not hole.any()
        assert (
            kept.sum()
            == (moved[0] != 0).sum()
            - (moved[0, max(row - 16, 0) : row + 16, max(column - 16, 0) : column + 16] != 0).sum()
        )


def test_colours_change_by_their_formula() -> None:
    x = torch.tensor([[0.1, 0.2], [0.3, -0.4], [0.8, 0.0]]).reshape(1, 3, 1, 2)
    colour = torch.tensor([[0.7, 0.9, 0.2]])
    found = Augmentation(colour, torch.zeros(1, 2), torch.zeros(1, 2)).jitter_colours(x)
    bright = x + (0.7 - 0.5)
    grey = bright.mean(dim=1, keepdim=True)
    saturated = (bright - grey) * (2 * 0.9) + grey
    expected = (saturated - saturated.mean()) * (0.2 + 0.5) + saturated.mean()
    torch.testing.assert_close(found, expected)


def test_each_pair_is_changed_in_its_own_way() -> None:
    torch.manual_seed(1)
    x = pictures(0, 1).expand(4, -1, -1, -1)
    source, picture = Augmentation.draw(4)(x, x)
    for changed in (source, picture):
        assert len({one.flatten().double().sum().item() for one in changed}) == 4


def test_gradients_pass_through_the_augmentation() -> None:
    torch.manual_seed(2)
    change = Augmentation.draw(2)
    source, picture = pictures(0).double()[..., :8, :8], pictures(1).double()[..., :8, :8]
    picture.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: change(source, x)[1], picture)


def judged(trainer: Trainer) -> list[tuple[Tensor, ...]]:
    """What D is shown in one step: (source, real, generated), then (source, generated) for G."""
    seen: list[tuple[Tensor, ...]] = []
    hook = trainer.discriminator.register_forward_pre_hook(
        lambda m, given: seen.append(tuple(x.detach().clone() for x in given))
    )
    trainer.step(pictures(0), pictures(1))
    hook.remove()
    return seen


def test_the_discriminator_sees_augmented_pairs_in_both_updates() -> None:
    (source, real, fake), (source_for_g, fake_for_g) = judged(Trainer(SMALL, CPU))
    assert torch.equal(source, pictures(0)) and torch.equal(source_for_g, pictures(0))
    assert torch.equal(real, pictures(1)) and torch.equal(fake, fake_for_g)
    trainer = Trainer(replace(SMALL, diffaugment=True), CPU)
    before = [p.clone() for p in trainer.generator.parameters()]
    (changed, real, fake), (changed_for_g, fake_for_g) = judged(trainer)
    assert not torch.equal(real, pictures(1)) and not torch.equal(fake, fake_for_g)
    assert not torch.equal(changed, source) and not torch.equal(changed, changed_for_g)
    after = trainer.generator.parameters()
    assert not any(torch.equal(a, b) for a, b in zip(before, after) if a.ndim == 4)


@pytest.mark.parametrize("kind", ["patch", "projected"])
def test_what_the_discriminator_sees_changes_no_other_loss(kind: str) -> None:
    plain = replace(SMALL, discriminator=kind, lambda_perceptual=1.0, lr=0.0, dropout="none")
    trainers = (Trainer(replace(plain, diffaugment=on), CPU) for on in (False, True))
    losses, augmented = (trainer.step(pictures(0), pictures(1)) for trainer in trainers)
    for name in ("g_perceptual", "g_l1"):
        assert augmented[name] == pytest.approx(losses[name], rel=1e-5)
    assert augmented["d_real"] != pytest.approx(losses["d_real"], rel=1e-3)


# --------------------------------------------------------------------- losses that are no numbers


def weights(trainer: Trainer) -> dict[str, Tensor]:
    networks = {"g": trainer.generator, "d": trainer.discriminator}
    return {
        f"{side} {name}": value.detach().clone()
        for side, network in networks.items()
        for name, value in network.named_parameters()
    }


def test_a_loss_that_is_no_number_leaves_the_weights() -> None:
    trainer = Trainer(SMALL, CPU)
    trainer.step(pictures(0), pictures(1))
    before = weights(trainer)
    broken = pictures(2)
    broken[0, 0, 5, 5] = math.nan
    for source, target in ((broken, pictures(3)), (pictures(3), broken)):
        with pytest.raises(UserError, match="half the learning rate"):
            trainer.step(source, target)
        after = weights(trainer)
        assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.requires_grad for p in trainer.discriminator.parameters())
    losses = trainer.step(pictures(2), pictures(3))
    assert all(math.isfinite(value) for value in losses.values())


def test_a_generators_loss_that_is_no_number_leaves_its_weights() -> None:
    trainer = Trainer(SMALL, CPU)
    before = weights(trainer)
    hook = trainer.discriminator.register_forward_hook(
        lambda module, given, out: out * math.nan if len(given) == 2 else out  # G's turn
    )
    with pytest.raises(UserError, match="not a number"):
        trainer.step(pictures(0), pictures(1))
    hook.remove()
    after = weights(trainer)
    assert all(torch.equal(after[n], value) for n, value in before.items() if n[0] == "g")
    assert all(value.isfinite().all() for value in after.values())  # D's update was a good one
    assert all(p.requires_grad for p in trainer.discriminator.parameters())
    trainer.step(pictures(2), pictures(3))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_loss_that_is_no_number_on_another_process_is_one_here(precision: str) -> None:
    """So that the process that writes the run's sentence has it to say."""

    class AnotherFailed(ProcessGroup):
        def any(self, *flags: bool) -> list[bool]:
            return [True for _ in flags]

    trainer = Trainer(replace(SMALL, precision=precision), CPU, AnotherFailed(CPU))
    with pytest.raises(UserError, match="not a number"):
        trainer.step(pictures(0), pictures(1))


@pytest.mark.parametrize("kind", ["patch", "projected"])
@pytest.mark.parametrize("call", [1, 2], ids=["discriminator", "generator"])
def test_what_bfloat16_fails_is_done_again_in_float32(call: int, kind: str) -> None:
    config = replace(SMALL, precision="bfloat16", discriminator=kind)
    trainer = Trainer(config, CPU)
    kinds: list[torch.dtype] = []
    bad: list[int] = [call]

    def fail(module: nn.Module, given: object, out: Tensor | tuple[Tensor, ...]) -> object:
        logits = out if isinstance(out, tuple) else (out,)
        kinds.append(logits[0].dtype)
        broken = tuple(x * math.nan for x in logits) if len(kinds) in bad else logits
        return broken if isinstance(out, tuple) else broken[0]

    judge = trainer.discriminator.heads[0] if trainer.projected else trainer.discriminator
    judge.register_forward_hook(fail)
    low, full = torch.bfloat16, torch.float32
    losses = trainer.step(pictures(0), pictures(1))
    assert all(math.isfinite(value) for value in losses.values())
    assert kinds == ([low, full, low] if call == 1 else [low, low, full])
    assert trainer.retried_steps == 1 and trainer.bfloat16

    kinds.clear()
    bad[:] = [call]
    trainer.step(pictures(2), pictures(3))
    assert trainer.retried_steps == 2 and not trainer.bfloat16
    kinds.clear()
    bad.clear()
    trainer.step(pictures(4), pictures(5))
    assert kinds == [full] * 2
    assert all(value.isfinite().all() for value in weights(trainer).values())

    resumed = Trainer(config, CPU)
    resumed.load_state_dict(trainer.state_dict())
    assert not resumed.bfloat16  # it stays in float32


def test_batch_norm_forgets_what_bfloat16_failed() -> None:
    """Else the statistics stay no numbers, and the run that was rescued ends at its next save."""
    trainer = Trainer(replace(SMALL, precision="bfloat16"), CPU)
    fails = iter([True])

    def fail(module: nn.Module, given: object, out: Tensor) -> Tensor | None:
        return out * math.inf if next(fails, False) else None

    trainer.generator.down[1][0].register_forward_hook(fail)
    losses = trainer.step(pictures(0), pictures(1))
    assert trainer.retried_steps == 1 and all(map(math.isfinite, losses.values()))
    trainer.check_weights()


# ------------------------------------------------------------------------------------------ resume

RESUMED = {
    **OPTIONS,
    "diffaugment": {"diffaugment": True},
    "accumulate": {"gradient_accumulation_steps": 2},
}
RESUMED |= {"bfloat16": {"precision": "bfloat16"}, "none": {}}
RESUMED |= {"both in bfloat16": {**PROJECTED, "precision": "bfloat16", "diffaugment": True}}


@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED.keys())
def test_a_new_trainer_goes_on_where_the_state_was_saved(options: dict) -> None:
    config = replace(SMALL, batch_size=2, ema=0.9, **options)
    trainer, other = Trainer(config, CPU), Trainer(replace(config, seed=5), CPU)
    trainer.step(pictures(0), pictures(1))
    other.load_state_dict(copy.deepcopy(trainer.state_dict()))
    found = []
    for one in (trainer, other):
        torch.manual_seed(3)
        found.append(one.step(pictures(2), pictures(3)))
    assert found[0] == found[1]
    assert len(found[0]) == 4 + len(options.keys() & {"lambda_features", "lambda_perceptual"})
    ours, theirs = weights(trainer), weights(other)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_resumed_run_may_have_the_other_layout(channels_last: bool) -> None:
    config = replace(SMALL, dropout="none")  # whose noise falls in the order of the memory
    trainer = doubled(replace(config, channels_last=not channels_last))
    other = doubled(replace(config, channels_last=channels_last))
    trainer.step(pictures(0).double(), pictures(1).double())
    other.load_state_dict(copy.deepcopy(trainer.state_dict()))
    for one in (trainer, other):
        one.step(pictures(2).double(), pictures(3).double())
    theirs = weights(other)
    for name, value in weights(trainer).items():
        torch.testing.assert_close(theirs[name], value, atol=1e-8, rtol=0)


def test_a_state_from_before_the_guard_is_read() -> None:
    trainer = Trainer(SMALL, CPU)
    state = trainer.state_dict()
    del state["guard"]
    trainer.load_state_dict(state)


# ----------------------------------------------------------------------------------------- compile


def test_a_compiler_that_fails_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: object, inputs: object) -> None:
        raise OSError("no compiler")

    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_module(self, backend=broken))
    trainer = Trainer(replace(SMALL, compile=True), CPU)
    with pytest.raises(UserError, match="set compile to false"):
        trainer.step(pictures(0), pictures(1))


def test_a_compiled_step_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the graphs that torch.compile takes, but run by PyTorch's own kernels: no compiler."""
    compile_module = nn.Module.compile
    taken = []

    def take(graph: torch.fx.GraphModule, inputs: object) -> Callable:
        taken.append(graph)
        return graph.forward

    monkeypatch.setattr(nn.Module, "compile", lambda self: compile_module(self, backend=take))
    plain, compiled = Trainer(SMALL, CPU), Trainer(replace(SMALL, compile=True), CPU)
    assert plain.generator.state_dict().keys() == compiled.generator.state_dict().keys()
    losses = []
    for trainer in (plain, compiled):
        torch.manual_seed(0)
        losses.append(trainer.step(pictures(0), pictures(1)))
    assert taken
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.fixture
def cuda() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device found: the compiled and the bfloat16 step are not tested on it")
    return torch.device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{"compile": True}, {"channels_last": True}])
def test_a_fast_step_on_cuda_has_the_losses_of_the_plain_one(
    options: dict, cuda: torch.device
) -> None:
    config = replace(SMALL, size=256, ngf=16, ndf=16, dropout="none")
    source, target = pictures(0, 2), pictures(1, 2)
    source, target = (nn.functional.interpolate(x, scale_factor=4) for x in (source, target))
    expected = Trainer(config, cuda).step(source, target)
    for precision, tolerance in (("float32", 1e-3), ("bfloat16", 0.05)):
        fast = Trainer(replace(config, precision=precision, **options), cuda)
        assert fast.step(source, target) == pytest.approx(expected, rel=tolerance)
        assert fast.retried_steps == 0


# ------------------------------------------------- convolutions in ways of their own


def convolution(kind: type, *shape: int, padding: int = 1, bias: bool = True) -> nn.Module:
    stride = 1 if kind is WinogradConv else 2
    return kind(*shape, 4, stride, padding, bias=bias)


@pytest.mark.parametrize(
    ("kind", "shape", "padding", "bias"),
    [
        (FastDownConv, (1, 256, 16, 16), 1, True), (FastDownConv, (3, 256, 2, 8), 1, False),
        (FastUpConv, (1, 256, 8, 8), 1, True), (FastUpConv, (3, 256, 1, 2), 1, False),
        (WinogradConv, (2, 256, 32, 32), 1, False), (WinogradConv, (1, 256, 35, 35), 0, True),
        (WinogradConv, (3, 256, 31, 17), 1, True),
    ],
)  # fmt: skip
def test_it_is_the_convolution_it_stands_for(
    kind: type, shape: tuple[int, ...], padding: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(shape[0])
    layer = convolution(kind, 256, 256, padding=padding, bias=bias)
    x = torch.randn(shape, requires_grad=True)
    exact = copy.deepcopy(layer).double()  # which never takes the other way
    expected = exact(x.double())
    weight = torch.randn_like(expected)
    monkeypatch.setattr(f"torch.nn.{kind.__base__.__name__}.forward", None)  # nor this one this
    found = torch.autograd.grad(layer(x), [x, *layer.parameters()], weight.float())
    made = layer(x)
    monkeypatch.undo()
    wanted = torch.autograd.grad(expected, [x, *exact.parameters()], weight)
    for one, other in zip((made, *found), (expected, *wanted)):
        assert one.shape == other.shape
        assert (one - other).norm() <= 3e-5 * other.norm()


def test_a_step_has_the_gradients_of_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(SMALL, size=256, ngf=32, ndf=64, lr=0.0)  # G meets the same D
    taken: list[bool] = []

    def counted(layer: nn.Conv2d, x: torch.Tensor) -> bool:
        taken.append(is_faster(layer, x))
        return taken[-1]

    source, target = (nn.functional.interpolate(pictures(n, 1), scale_factor=4) for n in (0, 1))
    monkeypatch.setattr("pix2pix.nn.layers.is_faster", counted)
    ours = Trainer(config, CPU)
    torch.manual_seed(1)
    found = ours.step(source, target)
    assert sum(taken) > 8
    monkeypatch.setattr("pix2pix.nn.layers.is_faster", lambda layer, x: False)
    plain = Trainer(config, CPU)
    torch.manual_seed(1)
    assert plain.step(source, target) == pytest.approx(found, rel=1e-5)
    for part in ("generator", "discriminator"):
        both = (getattr(trainer, part).parameters() for trainer in (ours, plain))
        for one, other in zip(*both):
            if one.ndim == 4:  # a bias before a norm has a gradient of rounding noise
                assert (one.grad - other.grad).norm() <= 5e-4 * other.grad.norm()


def test_only_training_on_the_cpu_in_float32_has_ways_of_its_own() -> None:
    layer, x = WinogradConv(256, 256, 4, padding=1), torch.zeros(1, 256, 32, 32)
    assert is_faster(layer, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_faster(layer, x)
    assert not is_faster(layer, x.double()) and not is_faster(layer, x.to("meta"))
    assert not is_faster(WinogradConv(128, 256, 4), x[:, :128])
    assert not is_faster(layer.eval(), x)


def test_the_wide_convolution_takes_weights_of_any_layout() -> None:
    layer, x = WinogradConv(256, 256, 4, padding=1), torch.randn(1, 256, 32, 32)
    expected = layer(x)
    layer.to(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), expected)


def test_a_resumed_run_may_have_another_beta1() -> None:
    trainer = Trainer(replace(SMALL, beta1=0.9), CPU)
    trainer.load_state_dict(Trainer(SMALL, CPU).state_dict())
    for optimizer in (trainer.g_optimizer, trainer.d_optimizer):
        assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


# -------------------------------------------------------------------------------------- the tint


def test_what_a_source_leaves_open_follows_the_tint() -> None:
    """Equal sources of red and of green things: a colour gives one or the other, none neither."""
    config = replace(SMALL, tint=True, depth=3, lambda_l1=100.0, lr=2e-3, norm="instance")
    trainer, source = Trainer(config, CPU), pictures(0, 1)
    targets = torch.full((2, 3, 64, 64), -0.5)
    targets[0, 0], targets[1, 1] = 0.5, 0.5
    torch.manual_seed(0)
    for step in range(60):
        trainer.step(source, targets[step % 2][None])
    tint = trainer.generator.tint
    assert sorted(set(map(tuple, tint.colours.tolist()))) == [
        (-0.5, 0.5, -0.5), (0.0, 0.0, 0.0), (0.5, -0.5, -0.5)
    ]  # fmt: skip  # of 64, 60 were seen
    generator = trainer.generator.eval()
    with torch.no_grad():
        red, green = (
            generator(source, target.mean((1, 2))[None]).mean((0, 2, 3)) for target in targets
        )
        open_ = generator(source).mean((0, 2, 3))
    assert red[0] > red[1] + 0.5 and green[1] > green[0] + 0.5
    assert green[0] < open_[0] < red[0]


@pytest.mark.parametrize("parts", [1, 2])
def test_each_pictures_colour_is_kept_once(parts: int) -> None:
    trainer = Trainer(replace(SMALL, tint=True, gradient_accumulation_steps=parts), CPU)
    target = torch.full((2, 3, 64, 64), -0.5)
    target[1] = 0.5
    trainer.step(pictures(0), target)
    colours = trainer.generator.tint.colours[:, 0].tolist()
    assert sorted(colours[:2]) == [-0.5, 0.5] and set(colours[2:]) == {0.0}


@pytest.mark.parametrize("had", ["noise", "tint", ""])
@pytest.mark.parametrize("hints", [0.0, 0.5])
def test_a_model_learns_noise_and_a_tint_and_begins_with_its_own_pictures(
    hints: float, had: str, tmp_path: Path
) -> None:
    kind, network = "drawing" if hints else "photo", {had: True} if had else {}
    folder = save_tiny_model(tmp_path / "m", tiny_config(network, source_kind=kind))
    given = {"noise": True, "tint": True, "precision": "float32", "colour_hints": hints}
    config = resolve_config("maps", given, tmp_path, folder)
    assert config.generator_config().hints == bool(hints)
    trainer, (before, _) = Trainer(config, CPU), load_model(folder)
    load_initial_weights(trainer, folder)
    first, source = trainer.generator.down[0][0], pictures(1, 1)
    with torch.no_grad():
        colour = torch.tensor([[0.5, -0.5, 0.0]])
        own = before.eval()(source, colour) if had == "tint" else before.eval()(source)
        made = trainer.generator.eval()(source, colour), own
    assert torch.allclose(*made, atol=1e-5)
    trainer.generator.train()
    torch.manual_seed(0)
    for _ in range(4):  # in one of them the tint is not left out
        trainer.step(source, pictures(2, 1) / 2 + 0.5)
    assert (first.weight[:, -4:] != 0).all()  # noise and tint
