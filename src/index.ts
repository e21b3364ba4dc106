// Owns the public API of gapvl and nothing else: what a program that imports the package may call.
export {
  CheckpointError,
  ConfigError,
  DataError,
  EXIT_CODES,
  GapvlError,
  RuntimeError,
  ShapeError,
} from './errors.ts';
export type { ErrorParts } from './errors.ts';
export { Rng } from './rng.ts';
export type { RngState } from './rng.ts';
export {
  PRETRAIN_DEFAULTS,
  PRETRAIN_RECIPES,
  TRAIN_DEFAULTS,
  TRAIN_RECIPES,
  applySettings,
} from './config.ts';
export type { OptimizerRecipe, PretrainRecipe, TrainRecipe } from './config.ts';
export { countLiveSessions } from './engine/session.ts';
export type { Device, SessionOptions } from './engine/session.ts';

// Data: examples on disk and generated ones.
export { loadDataset, readDataset } from './data/dataset.ts';
export type { ReadOptions } from './data/dataset.ts';
export { writeDataset } from './data/dataset-writer.ts';
export type { WriteOptions, WriteResult } from './data/dataset-writer.ts';
export type { Difficulty, Example, Split } from './data/example.ts';
export { formatResponse, parseResponse } from './data/format.ts';
export type { ParsedResponse, ResponsePiece, ResponseStyle, ResponseTexts } from './data/format.ts';
export type { Raster } from './data/raster.ts';
export { sampleExamples } from './data/splits.ts';
export type { GeneratedExample, SampleOptions } from './data/splits.ts';
export { TASK_NAMES } from './data/tasks/index.ts';
export type { TaskName } from './data/tasks/index.ts';
export { decodePicture } from './processor/picture.ts';
export type { DecodeOptions } from './processor/picture.ts';
export { explainResize } from './processor/explain.ts';
export type { ResizeExplanation, ResizeSettings } from './processor/explain.ts';
export type { PixelOverrides, PixelRange } from './processor/resize.ts';

// Models: Hugging Face folders, with the latent head beside.
export { openGapModel, readGapModel } from './store/latent-head.ts';
export { addLatentTokens } from './store/latent-tokens.ts';
export { quantizeCheckpoint } from './store/quantize.ts';
export type { PartBits, Quantized, QuantizeOptions } from './store/quantize.ts';
export { fetchModel, resolveModel } from './store/hub.ts';
export type { FetchOptions, FetchedModel } from './store/hub.ts';
export { parseHubId } from './store/hub-id.ts';
export type { HubId } from './store/hub-id.ts';
export type { GapModel, LatentHead, LatentSettings } from './latent/model.ts';
export type { AfterSpan } from './latent/after-span.ts';
export { VARIANTS, VARIANT_NAMES, usesLatents } from './latent/variants.ts';
export type { TeacherInputs, Variant, VariantName } from './latent/variants.ts';
export { PictureEncoder } from './model/picture-encoder.ts';
export type { ModelBundle } from './model/bundle.ts';
export { hashDataset, hashModel } from './context/provenance.ts';

// The stops of a run, in order: base, capacity, basis, training.
export { pretrain } from './train/pretrain.ts';
export type { PretrainOptions } from './train/pretrain.ts';
export { scoreCapacity } from './evaluate/capacity-run.ts';
export type {
  AssignmentCounts,
  CapacityEvent,
  CapacityOptions,
  CapacitySummary,
} from './evaluate/capacity-run.ts';
export { readCapacity } from './capacity/scores-file.ts';
export type { CapacityFile, CapacityHeader, CapacityRecord } from './capacity/scores-file.ts';
export type { CapacityAssignment } from './capacity/assignment.ts';
export { fitBasis, readBasisOf } from './context/fit-basis.ts';
export type { BasisOwner, FitBasisOptions } from './context/fit-basis.ts';
export { projectOntoPlane, reconstruct } from './latent/pca.ts';
export type { BasisKind, BasisSize, PcaBasis } from './latent/pca.ts';
export { trainFolder } from './train/train-folder.ts';
export type { TrainFolderOptions, TrainedRun } from './train/train-folder.ts';
export { trainHeadFolder } from './train/head-folder.ts';
export type { HeadFolderOptions } from './train/head-folder.ts';
export { trainVariant } from './train/gap.ts';
export type { TrainInputs, TrainOptions } from './train/gap.ts';
export type { StepRecord } from './train/loop.ts';
export { fitPicture, loadPictures, prepareExamples } from './context/prepared.ts';
export type { ExamplePictures, PrepareOptions, PreparedExample } from './context/prepared.ts';

// Decoding and comparing.
export { askModel } from './generate/ask.ts';
export { decodingPlan } from './generate/defaults.ts';
export type { DecodingChoices, DecodingPlan } from './generate/defaults.ts';
export type { Question } from './generate/question.ts';
export type { Sampling } from './generate/sampling.ts';
export type { GenerationDefaults } from './model/generation-config.ts';
export type { Answer, AnswerPiece, AskOptions, SpanSummary } from './generate/ask.ts';
export { Decoder } from './generate/decoder.ts';
export type { StepDecoder } from './generate/decoder.ts';
export { generateBatch, generateEvents } from './generate/generate.ts';
export type {
  GenerationEvent,
  GenerationRequest,
  GenerationResult,
  GenerationSettings,
} from './generate/generate.ts';
export { DEFAULT_EMA_DECAY } from './latent/feedback.ts';
export type { Calibration, Intervention, NoiseLaw } from './latent/feedback.ts';
export { compareModels } from './evaluate/compare.ts';
export type {
  CompareOptions,
  Comparison,
  ComparisonEvent,
  ModelComparison,
  NamedModel,
} from './evaluate/compare.ts';
export type { InterventionScore, Score } from './evaluate/comparison.ts';
export { INTERVENTION_NAMES, interventionOf } from './evaluate/interventions.ts';
export type { InterventionName, NamedIntervention } from './evaluate/interventions.ts';
export { evaluateExamples } from './evaluate/evaluate.ts';
export type { EvaluateOptions, EvaluatedExample, Prediction } from './evaluate/evaluate.ts';
export {
  clusteredMean,
  mcNemarExact,
  pairedDifference,
  wilsonInterval,
} from './evaluate/statistics.ts';
export type { BootstrapOptions, Interval, McNemar, MeanInterval } from './evaluate/statistics.ts';
export { renderReport } from './report/report.ts';
export type { ReportData } from './report/types.ts';

// Whether a model uses its latents, and for what.
export { runAudit } from './audit/audit.ts';
export type { AuditEvent, AuditOptions } from './audit/audit.ts';
export { summariseAudit } from './audit/summary.ts';
export { compareRuns } from './audit/compare-runs.ts';
export type { ArmComparison, RunComparison } from './audit/compare-runs.ts';
export type { Audit, AuditPart, Canary, PartName, Verdict } from './audit/types.ts';
export { auditFiles } from './report/audit-files.ts';
export { renderCard } from './report/audit-card.ts';
export { holm, itemsNeeded, pairedEffect } from './evaluate/effects.ts';
export type { PairedEffect, PairedScores } from './evaluate/effects.ts';

// Benchmarks: prompts, scores and figures as VLMEvalKit has them, without a model.
export {
  BENCHMARKS,
  aggregate,
  buildPrompt,
  findBenchmark,
  scoreItem,
} from './benchmark/benchmarks.ts';
export { splitThinking, unwrapAnswer } from './benchmark/thinking.ts';
export type { SplitResponse } from './benchmark/thinking.ts';
export { summarizeLatency } from './benchmark/latency.ts';
export type { LatencySummary } from './benchmark/latency.ts';
export { AVERAGE_MEMBERS, summarizeSeeds, tableAverages } from './benchmark/averages.ts';
export type { AverageMember, AverageName, SeedSummary } from './benchmark/averages.ts';
export { BENCHMARK_NAMES, ERAS } from './benchmark/types.ts';
export type {
  Benchmark,
  BenchmarkName,
  Cell,
  DatasetName,
  Era,
  Figure,
  Figures,
  Headline,
  ItemScore,
  JudgeQuestion,
  JudgeReply,
  PromptBuilder,
  Row,
  ScoreOptions,
  ScoredRow,
  Settled,
  Table,
  Unwrap,
} from './benchmark/types.ts';

// Benchmarks: answering their tables with a model or an endpoint.
export { runBenchmark } from './benchmark/run/run.ts';
export type { BenchmarkRunOptions, RunEvent, RunResult } from './benchmark/run/run.ts';
export { runSweep } from './benchmark/run/sweep.ts';
export type { Sweep, SweepEvent, SweepOptions, SweptPoint } from './benchmark/run/sweep.ts';
export type { LocalOptions } from './benchmark/run/local.ts';
export type { RemoteOptions } from './benchmark/run/remote.ts';
export { BASELINE_DECODING, BASELINE_PIXELS } from './benchmark/run/settings.ts';
export type { RunSettings } from './benchmark/run/settings.ts';
export { readRunItems, readRunSettings } from './benchmark/run/run-files.ts';

// Benchmarks: their tables and pictures, tables of predictions.
export { fetchBenchmark } from './benchmark/table/fetch.ts';
export type { FetchBenchmarkOptions, FetchedBenchmark } from './benchmark/table/fetch.ts';
export { loadTable } from './benchmark/table/load.ts';
export { loadPredictions } from './benchmark/table/predictions.ts';
export type { PredictionOptions, PredictionTable } from './benchmark/table/predictions.ts';
export { resolveImages } from './benchmark/table/resolve-images.ts';
export type { ResolveOptions } from './benchmark/table/resolve-images.ts';
export type { BenchmarkTable, LoadOptions, PictureCells } from './benchmark/table/table.ts';
export { loadTsv } from './benchmark/table/tsv.ts';

// Benchmarks: scoring predictions and runs, comparing them, the paper's tables.
export { scorePredictions } from './benchmark/results/score-predictions.ts';
export type { ScorePredictionsOptions } from './benchmark/results/score-predictions.ts';
export { findRuns, scoreRun } from './benchmark/results/score-run.ts';
export type { ScoreRunOptions, Scored } from './benchmark/results/score-run.ts';
export type { ScoreSettings } from './benchmark/results/score-settings.ts';
export { findResults, readResult, readScores, writeResult } from './benchmark/results/result.ts';
export type {
  EvaluationResult,
  ItemCounts,
  JudgeUse,
  ResultHeadline,
  ResultLatency,
  ResultSource,
  ScoreLine,
  Status,
  StoredResult,
} from './benchmark/results/result.ts';
export { compareResults } from './benchmark/results/compare-results.ts';
export type {
  BenchmarkComparison,
  HeadlineComparison,
  ResultComparison,
  SettingDifference,
} from './benchmark/results/compare-results.ts';
export { contendersOf } from './benchmark/results/contenders.ts';
export type { Contender } from './benchmark/results/contenders.ts';
export { fillTable } from './benchmark/results/paper-tables.ts';
export type {
  CellMark,
  FilledCell,
  FilledRow,
  FilledTable,
  TableReferences,
} from './benchmark/results/paper-tables.ts';
export { PUBLISHED_TABLES } from './benchmark/results/published.ts';
export type { PublishedTable, TableNumber } from './benchmark/results/published.ts';
export { TABLE_FORMATS, renderTables } from './report/benchmark-tables.ts';
export type { TableFormat } from './report/benchmark-tables.ts';
export { ChatEndpoint } from './benchmark/endpoint/chat-endpoint.ts';
export { Judge } from './benchmark/endpoint/judge.ts';
export type { JudgeOptions } from './benchmark/endpoint/judge.ts';
export type { EndpointOptions } from './benchmark/endpoint/types.ts';
