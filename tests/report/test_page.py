"""The pages: what is in them, that they need nothing else, and how a browser shows them."""

import base64
import html
import io
import itertools
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from browser import check_with_axe, in_browser, needs_browser
from conftest import Result
from PIL import Image
from report.test_evaluation import make_evaluation

from seglight.report import evaluation as evaluation_module
from seglight.report.evaluation import Evaluation, Example, load_evaluation, save_evaluation
from seglight.report.pictures import error_map
from seglight.report.run import previous_best, read_curves, read_run

Run = Callable[..., Result]
HEIGHT = 5000  #: of the window; on a phone, the plots come after some screens of text

#: Shows a page in a frame, since a window of Chromium has a least width, and notes how wide the page is inside it.
MEASURING = """<iframe style="width: {width}px; height: 2400px; border: 0" srcdoc="{page}"></iframe>
<script>
addEventListener('load', () => {{
  const inside = document.querySelector('iframe').contentDocument;
  const broken = [...inside.images].filter(image => !image.naturalWidth).length;
  document.body.setAttribute('data-width', inside.documentElement.scrollWidth);
  document.body.setAttribute('data-broken', broken);
}});
</script>
"""


class Page(HTMLParser):
    """The texts of a page, its images and their text alternatives by the captions, and the elements with attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.images: dict[str, Image.Image] = {}
        self.alternatives: dict[str, str] = {}
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._caption_from = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.elements.append((tag, values))
        self.addresses += [str(values[name]) for name in ('src', 'href') if name in values]
        if tag == 'figcaption':
            self._caption_from = len(self.words)
        if tag == 'img':
            caption = self.words[self._caption_from]
            data = base64.b64decode(str(values['src']).split('base64,')[1])
            self.images[caption] = Image.open(io.BytesIO(data))
            self.alternatives[caption] = str(values.get('alt') or '')

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() else []

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of one kind."""
        return [values for name, values in self.elements if name == tag]

    @property
    def anchors(self) -> list[str]:
        return [f'#{values["id"]}' for _, values in self.elements if 'id' in values]


@pytest.fixture(scope='module')
def work_dirs(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same classes: `exp1`, and a later `exp2` with other figures and another config."""
    root = tmp_path_factory.mktemp('runs') / 'work_dirs'
    for name in ('exp1', 'exp2'):
        shutil.copytree(trained, root / name, ignore=shutil.ignore_patterns('*.ckpt', 'predictions', 'report*'))
    config = yaml.safe_load((root / 'exp2' / 'config.yaml').read_text())
    config['data']['batch_size'] = 3
    (root / 'exp2' / 'config.yaml').write_text(yaml.safe_dump(config))
    found = load_evaluation(root / 'exp2' / 'evaluation' / 'fit.npz')
    better = replace(found, confusion=found.confusion + np.diag(found.confusion.sum(1)))
    save_evaluation(better, root / 'exp2' / 'evaluation' / 'fit.npz')
    return root


@pytest.fixture
def report(work_dirs: Path, data_root: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Run `seglight report` with some names and return the page it names."""

    def call(*names: str) -> Path:
        monkeypatch.chdir(work_dirs.parent)
        done = run('report', *names, '--images', data_root)
        assert done.status == 0, done.err
        return Path(done.out.split()[1])

    return call


def evaluated(work_dirs: Path, name: str) -> Evaluation:
    return load_evaluation(work_dirs / name / 'evaluation' / 'fit.npz')


def test_a_report_shows_all_that_a_run_measured(report: Callable[..., Path], work_dirs: Path) -> None:
    path = report('exp2')
    assert path == Path('work_dirs/exp2/report.html')
    page = Page(path)
    plots = ['Loss', 'Validation', 'Schedule', 'IoU', 'Confusion', 'Frequency', 'Calibration']
    assert [name for name in page.images if 'mIoU' not in name] == plots
    found = evaluated(work_dirs, 'exp2')
    examples = [name for name in page.images if 'mIoU' in name]
    expected = [f'{example.name}   mIoU {100 * example.iou:.2f} %' for example in [*found.best, *found.worst]]
    assert examples == expected
    assert f'{100 * found.miou:.2f} %' in page.words
    before = evaluated(work_dirs, 'exp1')
    assert f'Compared with the best earlier run, exp1, with mIoU {100 * before.miou:.2f} %.' in page.words
    assert (work_dirs / 'exp2' / 'environment.yaml').read_text().splitlines()[1] in ''.join(page.words)
    assert 'batch_size: 3' in ''.join(page.words)


def test_a_page_needs_nothing_but_itself(report: Callable[..., Path]) -> None:
    for path in (report('exp2'), report('exp1', 'exp2')):
        page = Page(path)
        assert page.addresses
        outside = [address for address in page.addresses if not address.startswith('data:image/')]
        assert set(outside) <= set(page.anchors)
        assert not re.search(r'<script|<link|@import|url\(', path.read_text())
        assert all(len(np.unique(np.asarray(image))) > 1 for image in page.images.values())


def test_the_first_run_has_no_run_before_it(report: Callable[..., Path]) -> None:
    assert 'No earlier run next to this one has the same classes.' in Page(report('exp1')).words


def test_runs_are_compared(report: Callable[..., Path], work_dirs: Path) -> None:
    path = report('exp1', 'exp2')
    assert path == Path('work_dirs/exp2/compare_exp1_exp2.html')
    page = Page(path)
    assert list(page.images) == ['Validation mIoU', 'Training loss', 'Learning rate', 'IoU', 'exp2 compared with exp1']
    place = page.words.index('data.batch_size')
    assert page.words[place + 1 : place + 3] == ['4', '3']
    assert 'data.num_workers' not in page.words
    for name in ('exp1', 'exp2'):
        assert f'{100 * evaluated(work_dirs, name).miou:.2f} %' in page.words


def test_many_runs_with_long_names_are_compared(report: Callable[..., Path], work_dirs: Path) -> None:
    names = [f'run_{number}_{"x" * 60}' for number in range(5)]
    for name in names:
        shutil.copytree(work_dirs / 'exp1', work_dirs / name)
    path = report(*names)
    assert re.fullmatch(r'compare_5_runs_\w{8}\.html', path.name)
    assert set(names) <= set(Page(path).words)
    for name in names:
        shutil.rmtree(work_dirs / name)


def test_the_best_earlier_run_has_figures_and_is_the_only_one_whose_pictures_are_read(
    work_dirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = evaluated(work_dirs, 'exp2')
    nothing = replace(found, confusion=np.zeros_like(found.confusion))
    for name, evaluation in (('0', nothing), ('1', found), ('2', nothing)):
        shutil.copytree(work_dirs / 'exp1', work_dirs / name)
        save_evaluation(evaluation, work_dirs / name / 'evaluation' / 'fit.npz')
        os.utime(work_dirs / name / 'config.yaml', (1, 1))
    decoded: list[str] = []
    original = evaluation_module._examples

    def examples(stored: dict[str, Any], group: str) -> list[Example]:
        decoded.append(group)
        return original(stored, group)

    monkeypatch.setattr(evaluation_module, '_examples', examples)
    best = previous_best(read_run(work_dirs / 'exp1'))
    assert best is not None
    assert best.name == '1'
    assert decoded == ['best', 'worst'] * 2  # of the run itself, and of that one
    for name in '012':
        shutil.rmtree(work_dirs / name)


def test_a_row_that_a_killed_run_did_not_finish_is_left_out(work_dirs: Path) -> None:
    whole = read_curves(work_dirs / 'exp1' / 'metrics.csv')
    for end in ('9,', '9,1.', '9'):
        cut = work_dirs.parent / 'metrics.csv'
        cut.write_bytes((work_dirs / 'exp1' / 'metrics.csv').read_bytes() + end.encode())
        assert read_curves(cut) == whole


def test_a_run_whose_images_are_gone_has_a_report_without_them(report: Callable[..., Path], work_dirs: Path) -> None:
    shutil.copytree(work_dirs / 'exp1', work_dirs / 'moved', ignore=shutil.ignore_patterns('*.html'))
    save_evaluation(make_evaluation(), work_dirs / 'moved' / 'evaluation' / 'fit.npz')
    assert 'The image files no longer exist, so no images are shown.' in Page(report('moved')).words


def test_images_that_a_run_names_outside_the_allowed_folders_are_not_shown(
    report: Callable[..., Path], work_dirs: Path, data_root: Path, run: Run
) -> None:
    examples = evaluated(work_dirs, 'exp2')
    shown = len(Page(report('exp2')).images)
    done = run('report', 'exp2')  # the data set is not below the working folder
    count = len(examples.best) + len(examples.worst)
    assert f'{count} images of work_dirs/exp2 are outside the working folder and not shown; --images' in done.err
    assert len(Page(Path('work_dirs/exp2/report.html')).images) == shown - count
    (work_dirs.parent / 'link').symlink_to(data_root)  # leads out of the working folder
    linked = [replace(each, path=each.path.replace(str(data_root), 'link')) for each in examples.best]
    save_evaluation(replace(examples, best=linked), work_dirs / 'exp2' / 'evaluation' / 'fit.npz')
    assert f'{count} images' in run('report', 'exp2').err


def test_names_from_outside_are_shown_and_not_run(report: Callable[..., Path], work_dirs: Path) -> None:
    folder = work_dirs / 'odd'
    save_evaluation(
        replace(make_evaluation(2), classes=['<script>a</script>', 'b$']), folder / 'evaluation' / 'fit.npz'
    )
    (folder / 'config.yaml').write_text('name: <img src=x onerror=alert(1)>\n')
    text = report('odd').read_text()
    assert '<script' not in text
    assert '<img src=x' not in text


def test_what_is_no_run_is_refused(work_dirs: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work_dirs.parent)
    done = run('report', 'exp9')
    assert (done.status, done.out) == (2, '')
    assert "'exp9' is not a run: work_dirs/exp9/config.yaml does not exist (runs in work_dirs: exp1, exp2" in done.err
    broken = work_dirs / 'broken'
    broken.mkdir()
    (broken / 'config.yaml').write_text('a: 1\n')
    (broken / 'metrics.csv').write_text('step,train/loss\n1,oops\n')
    done = run('report', 'broken')
    assert (done.status, done.out) == (2, '')
    assert 'broken/metrics.csv is not a table of metrics' in done.err
    assert not (broken / 'report.html').exists()


@pytest.mark.parametrize('command', ['fit', 'validate', 'test'])
def test_every_command_that_measures_ends_with_its_report(
    trained: Path, tiny_config: Path, run: Run, tmp_path: Path, command: str
) -> None:
    if command == 'fit':
        done = run('fit', '--config', tiny_config, '--trainer.max_epochs=1', '--report=true')
        expected = Path('work_dirs/exp1/report.html')
    else:
        shutil.copy(trained / 'epoch_2.ckpt', tmp_path / 'a.ckpt')
        done = run(command, '--ckpt', tmp_path / 'a.ckpt', '--trainer.accelerator=cpu')
        expected = tmp_path / f'report_{command}_a.html'
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1].split() == ['Report', str(expected)]
    assert 'Confusion' in Page(expected).images


def test_wrong_pixels_are_red_and_ignored_ones_blue() -> None:
    image = np.full((1, 3, 3), 128, dtype=np.uint8)
    mask, prediction = np.array([[0, 1, 255]], dtype=np.uint8), np.array([[0, 0, 0]], dtype=np.uint8)
    drawn = error_map(image, mask, prediction, 255)
    assert drawn[0].tolist() == [[164, 164, 164], [230, 30, 30], [70, 110, 200]]


def test_it_opens_with_what_a_person_asks(report: Callable[..., Path], work_dirs: Path) -> None:
    page = Page(report('exp2'))
    questions = ['How good is it?', 'Which classes fail?', 'On which images?', 'What to try?', 'Training']
    places = [page.words.index(question) for question in questions[:4]]
    assert places == sorted(places)
    assert places[-1] < page.words.index('Loss')
    found, before = evaluated(work_dirs, 'exp2'), evaluated(work_dirs, 'exp1')
    lead = f'The mean IoU is {100 * (found.miou - before.miou):.2f} points above exp1.'
    assert page.words[places[0] + 1].endswith(lead)
    lowest = found.classes[int(np.nanargmin(found.iou))]
    assert page.words.index(lowest) < places[2]
    assert page.words[places[2] + 1] == found.worst[0].name
    assert '#worst-1' in page.addresses


def test_each_plot_has_a_text_alternative(report: Callable[..., Path], work_dirs: Path) -> None:
    for path in (report('exp2'), report('exp1', 'exp2')):
        page = Page(path)
        for caption, text in page.alternatives.items():
            assert len(text) > len(caption), caption
            if 'mIoU ' not in caption:
                assert text.startswith(f'{caption}: ')
                assert f'{caption} as a table' in page.words
    found = evaluated(work_dirs, 'exp1')
    text = Page(report('exp1')).alternatives['IoU']
    assert f'{100 * np.nanmax(found.iou):.2f} % for {found.classes[int(np.nanargmax(found.iou))]}' in text


def test_a_screen_reader_and_the_keyboard_reach_all(report: Callable[..., Path]) -> None:
    """What axe checks, as far as the source shows it."""
    for path in (report('exp2'), report('exp1', 'exp2')):
        page = Page(path)
        assert [len(page.all(tag)) for tag in ('main', 'header', 'h1', 'nav')] == [1, 1, 1, 1]
        assert page.all('html')[0]['lang'] == 'en'
        assert len(page.anchors) == len(set(page.anchors))
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch('h[1-6]', tag)]
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert all('scope' in cell for cell in page.all('th'))
        scrolled = [values for _, values in page.elements if values.get('class') == 'wide'] + page.all('pre')
        assert scrolled
        for values in scrolled:
            assert (values['role'], values['tabindex']) == ('region', '0')
        names = [str(values['aria-label']) for values in scrolled]
        assert len(names) == len(set(names))
        assert page.addresses[0] == '#content'


@needs_browser
@pytest.mark.skipif('SEGLIGHT_AXE' not in os.environ, reason='SEGLIGHT_AXE does not name the file axe.min.js')
def test_axe_finds_no_violation(report: Callable[..., Path]) -> None:
    check_with_axe(report('exp2'))
    check_with_axe(report('exp1', 'exp2'))


@pytest.mark.parametrize('width', [390, 1280])
@needs_browser
def test_a_browser_shows_the_page_at_the_width_of_a_phone_and_of_a_desk(
    report: Callable[..., Path], tmp_path: Path, width: int
) -> None:
    page = report('exp2')
    measuring = tmp_path / 'measuring.html'
    inside = html.escape(page.read_text().replace('loading="lazy"', ''))
    measuring.write_text(MEASURING.format(width=width, page=inside))
    size = f'--window-size={width},{HEIGHT}'
    shot = tmp_path / 'shot.png'
    in_browser(page, size, f'--screenshot={shot}')
    picture = np.asarray(Image.open(shot).convert('RGB'))
    assert picture.shape == (HEIGHT, width, 3)
    bars = (np.abs(picture.astype(int) - [31, 119, 180]).sum(2) < 30).sum()  # matplotlib's first colour
    assert bars > 300  # the curves and the bars of the IoU
    text = (picture.sum(2) < 150).sum()
    assert text > 2000
    dom = in_browser(measuring, size, '--dump-dom')
    measured = re.search(r'data-width="(\d+)" data-broken="(\d+)"', dom)
    assert measured, dom[-500:]
    assert int(measured[1]) <= width  # nothing makes the page wider than the screen
    assert int(measured[2]) == 0  # every image is shown
