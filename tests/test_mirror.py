"""Tests mirror the package: which test covers each module, by its path or by the table here."""

from __future__ import annotations

from pathlib import Path

import pytest

import seglight

TESTS = Path(__file__).parent
PACKAGE = Path(seglight.__file__).parent

#: Modules without a test file of their own: the one that covers each, and words in it that show so.
COVERED = {
    'array_types': ('data/test_dataset.py', 'np.uint8'),
    'batch': ('data/test_dataset.py', 'from seglight.batch import'),
    'callbacks.checkpoints.base': ('callbacks/checkpoints/test_interval.py', 'import'),
    'callbacks.checkpoints.pruning': ('callbacks/checkpoints/test_interval.py', 'max_keep_ckpts'),
    'callbacks.chosen_ensemble': ('stories/test_ensemble.py', '--ensemble'),
    'callbacks.finder_result': ('stories/test_training_options.py', 'LearningRateFinder'),
    'callbacks.learning_rates': ('parity/test_training.py', 'paramwise_cfg'),
    'callbacks.metrics_file': ('stories/test_train_and_predict.py', 'metrics.csv'),
    'callbacks.restoring': ('stories/test_resume_changed.py', 'EarlyStopping'),
    'callbacks.resume': ('stories/test_resume.py', '--auto-resume'),
    'callbacks.signals': ('stories/test_interrupt.py', 'SIGTERM'),
    'callbacks.slurm': ('stories/test_interrupt.py', 'scontrol'),
    'callbacks.soft_voting': ('stories/test_predict.py', '--ckpt-weights'),
    'callbacks.wandb_logger': ('callbacks/test_wandb.py', 'SteppedLogger'),
    'callbacks.wandb_media': ('callbacks/test_wandb.py', 'val/worst'),
    'callbacks.writers.coco': ('stories/test_predict.py', "'--coco'"),
    'callbacks.writers.part': ('tools/test_join.py', '--part'),
    'callbacks.writers.predicted_by': ('stories/test_predict.py', 'predictions made with a different'),
    'callbacks.writers.run_lengths': ('stories/test_submission_formats.py', 'rle'),
    'callbacks.writers.submission': ('stories/test_predict.py', '--submission'),
    'callbacks.writers.summary': ('stories/test_predict.py', "'--resume'"),
    'callbacks.writers.numbering': ('callbacks/writers/test_zipped.py', 'a_zip_has_the_numbers'),
    'checkpoints.allowed': ('checkpoints/test_strangers.py', 'evil.ckpt'),
    'checkpoints.budget': ('checkpoints/test_strangers.py', 'bounded_by_the_weights'),
    'checkpoints.data': ('tools/test_soup.py', 'must name the training data'),
    'checkpoints.data_checks': ('checkpoints/test_cost.py', 'seglight.checkpoints.data_checks'),
    'checkpoints.entries': ('checkpoints/test_strangers.py', 'evil.ckpt'),
    'checkpoints.families': ('checkpoints/test_convert.py', 'swin'),
    'checkpoints.from_mmseg': ('parity/test_mmseg_checkpoints.py', 'init_segmentor'),
    'checkpoints.gate': ('checkpoints/test_strangers.py', 'evil.ckpt'),
    'checkpoints.model_checks': ('checkpoints/test_strangers.py', 'TIMMBackbone'),
    'checkpoints.needed': ('checkpoints/test_strangers.py', 'evil.ckpt'),
    'checkpoints.plain_checks': ('checkpoints/test_strangers.py', 'is_an_address'),
    'checkpoints.stored': ('checkpoints/test_checkpoint.py', 'stored'),
    'checkpoints.to_mmseg': ('parity/test_mmseg_checkpoints.py', "'export'"),
    'cli.arguments': ('test_predictor.py', 'seglight.cli.arguments'),
    'cli.classes': ('stories/test_other_classes.py', 'in another order'),
    'cli.command_line': ('config/test_cli_cases.py', 'CommandLine'),
    'cli.commands.base': ('cli/test_help.py', 'COMMANDS'),
    'cli.commands.cluster': ('competition/jobs/test_cluster.py', '--cluster-option'),
    'cli.commands.competition': ('stories/test_folds.py', "'folds'"),
    'cli.commands.results': ('tools/test_join.py', "'join'"),
    'cli.failures': ('stories/test_bad_input.py', 'trainer.'),
    'cli.fit': ('stories/test_train_and_predict.py', "'fit'"),
    'cli.commands.data': ('stories/test_data.py', "'data', 'check'"),
    'cli.commands.installed': ('tools/test_completion.py', 'completion'),
    'cli.commands.planning': ('competition/planning/test_planner.py', "'plan'"),
    'cli.launched': ('stories/test_torchrun.py', 'torch.distributed.run'),
    'cli.part_settings': ('tools/test_join.py', 'data.image_range is null in'),
    'cli.quiet': ('stories/test_terminal.py', 'err'),
    'cli.ray_worker': ('cli/test_ray_fit.py', 'StopByFile'),
    'cli.tools': ('test_start.py', '--help'),
    'cli.continuation': ('stories/test_resume_changed.py', 'auto-resume'),
    'competition.jobs.executor': ('competition/jobs/test_cluster.py', 'jobs.executor'),
    'competition.jobs.remote': ('competition/jobs/test_cluster.py', 'jobs.remote'),
    'competition.plan': ('competition/planning/test_planner.py', "'plan'"),
    'competition.planning.trials': ('competition/planning/test_planner.py', 'the trials left nothing'),
    'callbacks.trial_pruning': ('competition/searching/test_sweep.py', 'TrialPruning'),
    'competition.resolving': ('cli/test_read_config.py', 'prints and trains nothing'),
    'competition.searching.page': ('competition/searching/test_sweep.py', 'sweep.html'),
    'competition.ensemble': ('stories/test_folds.py', "'ensemble'"),
    'competition.folds': ('stories/test_folds.py', "'folds'"),
    'competition.label_quality.page': ('competition/test_labels.py', 'Images with the lowest scores'),
    'competition.label_quality.ranking': ('competition/test_labels.py', 'competition.label_quality.ranking'),
    'competition.out_of_fold.predictions': (
        'competition/out_of_fold/test_scores.py',
        'competition.out_of_fold.predictions',
    ),
    'competition.out_of_fold.page': ('stories/test_folds.py', 'folds.html'),
    'competition.choosing.pixels': ('competition/choosing/test_selection.py', 'competition.choosing.pixels'),
    'competition.out_of_fold.splitting': ('stories/test_folds.py', 'split/fold'),
    'config.arguments': ('config/test_overrides.py', 'seglight.config.arguments'),
    'config.mmseg.model_and_schedule': ('config/mmseg/test_zoo.py', 'schedule_settings'),
    'config.mmseg.packaged': ('config/mmseg/test_file.py', 'zoo_folder'),
    'config.mmseg.python_values': ('config/mmseg/test_file.py', 'import'),
    'config.parser': ('config/test_cli_cases.py', 'line'),
    'config.resolve': ('config/test_overrides.py', '_delete_'),
    'data.augmentations': ('data/test_transforms.py', 'CatMaxRatioCrop'),
    'data.class_checks': ('data/test_labels.py', 'data.classes'),
    'data.datamodule': ('data/test_loaders.py', 'SegmentationDataModule'),
    'data.facts': ('data/test_judgement.py', 'seglight.data.facts'),
    'data.palette_order': ('data/test_labels.py', 'palette_in_another_order'),
    'data.photometric': ('data/test_transforms.py', 'PhotoMetricDistortion'),
    'data.report': ('stories/test_data.py', "'data', 'check'"),
    'data.sending': ('data/test_loaders.py', 'seglight.data.sending'),
    'data.archives.archive': ('data/archives/test_index.py', 'pickle.dumps(first)'),
    'data.archives.members': ('data/archives/test_zips.py', 'two of its members are named'),
    'data.places': ('data/archives/test_index.py', 'from seglight.data.places import'),
    'data.sources.archive_rows': ('data/sources/test_archives.py', 'have the same name'),
    'data.sources.folder_rows': ('data/sources/test_folders.py', 'MaskFile'),
    'data.sources.base': ('data/sources/test_folders.py', 'source'),
    'data.sources.categories': ('data/sources/coco/test_source.py', 'category_map'),
    'data.sources.coco.columns': ('data/sources/coco/test_source.py', 'in columns'),
    'data.sources.coco.objects': ('data/sources/coco/test_source.py', 'Objects'),
    'data.sources.coco.rows': ('data/sources/coco/test_source.py', 'in columns'),
    'data.sources.coco.file': ('data/sources/coco/test_source.py', 'category_id'),
    'data.sources.coco.shapes': ('data/sources/coco/test_source.py', 'segmentation'),
    'data.sources.file_states': ('data/sources/yolo/test_rows.py', 'has changed since the start'),
    'data.sources.images': ('data/sources/test_folders.py', 'ImageSource'),
    'data.sources.json_files': ('data/sources/coco/test_source.py', 'seglight.data.sources.json_files'),
    'data.sources.labelme.columns': ('data/sources/labelme/test_rows.py', 'labelme_columns'),
    'data.sources.labelme.file': ('data/sources/labelme/test_source.py', 'read_labelme'),
    'data.sources.labelme.shapes': ('data/sources/labelme/test_source.py', 'Shapes'),
    'data.sources.mmseg_datasets': ('parity/test_datasets.py', 'seglight.data.sources.mmseg_datasets'),
    'data.sources.painting': ('data/sources/labelme/test_source.py', 'too many to paint'),
    'data.sources.yolo.lines': ('data/sources/yolo/test_source.py', 'yolo.lines import Polygons'),
    'data.split_sources': ('data/test_splits.py', 'Split'),
    'data.tolerant': ('stories/test_data.py', 'on_bad_sample'),
    'data.transform_hints': ('data/test_transforms.py', 'did you mean'),
    'checkpoints.plain': ('exporting/test_export.py', 'm.safetensors'),
    'exporting.graph': ('exporting/test_export.py', 'mmsegs_logits'),
    'exporting.images': ('exporting/test_export.py', 'without_the_images_of_the_run'),
    'exporting.proof': ('exporting/test_export.py', 'planted'),
    'exporting.formats.quantising': ('exporting/test_export.py', '--int8'),
    'exporting.settings': ('exporting/test_export.py', 'palette'),
    'exporting.formats.to_openvino': ('exporting/test_export.py', 'm.xml'),
    'exporting.formats.to_program': ('exporting/test_export.py', 'm.pt2'),
    'installation.mmcv': ('installation/test_mmcv_wheel.py', 'install_mmcv'),
    'installation.uv': ('installation/test_pip.py', 'uv.'),
    'models.adapters.base': ('models/adapters/test_hf.py', 'encode_decode'),
    'models.adapters.channels': ('models/adapters/test_timm.py', 'feature_strides'),
    'extras': ('models/adapters/test_hf.py', 'which is not installed'),
    'models.adapters.exported': ('exporting/test_export.py', 'seglight.load'),
    'models.adapters.hf_config': ('models/adapters/test_hf.py', 'config.model_type'),
    'models.adapters.hf_masks': ('models/adapters/test_hf.py', 'post_process_semantic_segmentation'),
    'models.class_weights': ('models/test_losses.py', '.npy'),
    'models.explain': ('stories/test_bad_input.py', 'decode_head'),
    'models.inference.module': ('stories/test_predict.py', "'predict'"),
    'models.layer_decay': ('models/adapters/test_timm.py', 'LearningRateDecayOptimizerConstructor'),
    'models.normalisation': ('models/adapters/test_hf.py', 'image_mean'),
    'models.paramwise': ('stories/test_training_options.py', 'paramwise_cfg'),
    'models.parts': ('models/test_recipe.py', 'decode_head'),
    'models.recipe_checks': ('models/test_recipe.py', 'in_index'),
    'own_modules': ('test_main.py', 'own_modules'),
    'report.pictures': ('report/test_page.py', 'seglight.report.pictures'),
    'report.plots': ('report/test_page.py', 'curves'),
    'report.run': ('callbacks/test_run_folder.py', 'seglight.report.run'),
    'report.wording': ('report/test_findings.py', 'of the pixels, IoU'),
    'runtimes.base': ('runtimes/test_onnx_file.py', 'takes only images of'),
    'runtimes.metadata': ('runtimes/test_onnx_file.py', 'METADATA'),
    'runtimes.opening': ('runtimes/test_onnx_file.py', 'open_exported'),
    'studies': ('competition/searching/test_sweep.py', 'open_study'),
    'tools.data': ('data/sources/coco/test_source.py', 'from seglight.tools.data import'),
    'tools.duplicates': ('stories/test_data.py', '--duplicates'),
    'tools.export': ('parity/test_mmseg_checkpoints.py', "'export'"),
    'tools.joined_files': ('tools/test_join.py', 'JOINERS'),
    'tools.report': ('report/test_page.py', "'report'"),
    'tools.setup': ('installation/test_requirements.py', 'setup'),
    'zip_directory': ('data/archives/test_zips.py', 'its directory is damaged'),
}


def modules() -> dict[str, Path]:
    """The dotted name of each module below the package, without the `__init__` of folders, and its path."""
    paths = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob('*.py'))]
    return {
        '.'.join(path.with_suffix('').parts): path
        for path in paths
        if path.name != '__init__.py' and 'no_build' not in path.parts
    }


def own_test(path: Path) -> Path:
    """Where the test of a module is, by the module's path: `test_main.py` for `__main__.py`."""
    return TESTS / path.parent / f'test_{path.stem.strip("_")}.py'


@pytest.mark.parametrize('module', modules())
def test_each_module_has_a_test_of_its_own_or_is_in_the_table(module: str) -> None:
    expected = own_test(modules()[module])
    if module in COVERED:
        assert not expected.exists(), f'{module} has {expected.relative_to(TESTS)}: remove it from the table'
    else:
        assert expected.exists(), (
            f'{module} has no tests/{expected.relative_to(TESTS)}; write it, or name in the table what covers it'
        )


@pytest.mark.parametrize('module', COVERED)
def test_what_the_table_says_is_so(module: str) -> None:
    name, words = COVERED[module]
    assert module in modules(), f'there is no module {module} any more'
    assert (TESTS / name).is_file(), f'tests/{name}, which is said to cover {module}, does not exist'
    assert words in (TESTS / name).read_text(), f'tests/{name} is said to cover {module}, but has no {words!r}'
