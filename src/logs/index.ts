/** The logs of containers: reading, following and rotating files in CRI format. */
export { type CriLine, parseCriLine } from "./cri.ts";
export { lastLines } from "./last-lines.ts";
export { type ReadLogOptions, readLog } from "./reader.ts";
export { createLogRotator, type LogRotator, type LogRotatorOptions, type RotationTarget } from "./rotator.ts";
export { type LogPiece, readStreams } from "./streams.ts";
