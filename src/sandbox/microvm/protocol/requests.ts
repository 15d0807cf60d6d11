import type { Field, RequestName } from "./messages.ts";

/** What the host asks of the agent, typed; `requestFields` puts it into the wire's key=value form. Pure. */

/** Everything optional: what is given is done, the rest stays. Repeatable. */
export interface ConfigureRequest {
  /** ns since the epoch; taken as late as possible. */
  readonly wallClockNs?: bigint;
  /** 32 to 512 bytes of the host's randomness; a VM that never got any runs no container. */
  readonly entropy?: Uint8Array;
  readonly hostname?: string;
  readonly network?: GuestNetwork;
  readonly sysctls?: Readonly<Record<string, string>>;
  /** Index of an ext4 disk with project quotas, for writable layers and emptyDirs. */
  readonly scratchDisk?: number;
  /** What all containers may use together, where that is less than the VM has for them. */
  readonly memoryBytes?: number;
}

export interface GuestNetwork {
  readonly mac: string;
  readonly mtu?: number;
  /** "10.88.0.5/16"; IPv4 or IPv6. */
  readonly addresses: readonly string[];
  /** Destination "default" or "10.0.0.0/8". */
  readonly routes: readonly { readonly destination: string; readonly gateway?: string }[];
}

export interface VolumeRequest {
  readonly name: string;
  readonly source:
    | { readonly type: "tmpfs"; readonly sizeBytes?: number }
    | { readonly type: "scratch"; readonly sizeBytes?: number }
    | { readonly type: "files" }
    | { readonly type: "disk"; readonly disk: number; readonly fs: "ext4" | "erofs"; readonly readOnly: boolean }
    | { readonly type: "virtiofs"; readonly tag: string; readonly readOnly: boolean };
  /** Of the volume's root, e.g. 0o777. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface PushFile {
  /** Relative, without "..". */
  readonly path: string;
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface GuestMount {
  readonly target: string;
  readonly volume: string;
  /** A name directly in the volume: the mount comes from there, and nothing leads out of it. Absent: the volume itself. */
  readonly root?: string;
  /** Below that; may not lead out of it. */
  readonly path?: string;
  /** Makes a directory at `path` where there is nothing (subPath). */
  readonly create?: boolean;
  readonly readOnly: boolean;
}

/** Who a process runs as, and with which rights: for containers and execs alike. */
export interface GuestProcess {
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Bit n: capability n. */
  readonly capabilities: bigint;
  readonly noNewPrivileges: boolean;
  /** An array of struct sock_filter, native endian. Absent: unconfined. */
  readonly seccomp?: Uint8Array;
}

export interface CreateRequest {
  readonly container: string;
  /** Index of the disk with its EROFS image. */
  readonly image: number;
  readonly process: GuestProcess;
  readonly logPort: number;
  readonly stdin: "closed" | "once" | "kept";
  readonly tty: boolean;
  readonly privileged: boolean;
  readonly readOnlyRoot: boolean;
  readonly sharePidNamespace: boolean;
  readonly mounts: readonly GuestMount[];
  readonly tmpfs: readonly string[];
  readonly maskedPaths: readonly string[];
  readonly readOnlyPaths: readonly string[];
  /** cgroup v2 files and what to write, e.g. {"memory.max": "134217728"}. */
  readonly cgroup: Readonly<Record<string, string>>;
  /** Name in lower case without RLIMIT_, e.g. "nofile". */
  readonly rlimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly oomScoreAdj?: number;
  readonly terminationMessagePath?: string;
}

export interface ExecStartRequest {
  readonly container: string;
  readonly process: GuestProcess;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly columns?: number;
  readonly rows?: number;
  /** Bytes of output that may come before `execCredit` allows more. */
  readonly credit: number;
}

/** The payloads by message; raw data (pushData, execStdin) goes beside it. */
export interface RequestPayloads {
  readonly hello: { readonly nonce: string };
  readonly ping: null;
  readonly configure: ConfigureRequest;
  readonly volume: VolumeRequest;
  readonly pushBegin: { readonly volume: string; readonly atomic: boolean };
  readonly pushFile: PushFile;
  readonly pushCommit: null;
  readonly create: CreateRequest;
  readonly start: { readonly container: string };
  readonly signal: { readonly container: string; readonly signal: number };
  readonly kill: { readonly container: string };
  readonly remove: { readonly container: string };
  readonly list: null;
  readonly stats: null;
  readonly usage: null;
  readonly log: { readonly container: string; readonly logPort: number };
  readonly exec: ExecStartRequest;
  readonly attach: { readonly container: string; readonly stdin: boolean };
  readonly dial: { readonly port: number; readonly credit: number };
  readonly execResize: { readonly columns: number; readonly rows: number };
  readonly execSignal: { readonly signal: number };
  readonly execCredit: { readonly bytes: number };
  readonly shutdown: null;
}
export type ControlRequest = {
  [Name in keyof RequestPayloads]: { readonly type: Name; readonly body: RequestPayloads[Name] };
}[keyof RequestPayloads];
/** Requests without key=value payload. */
export type DataRequest = Exclude<RequestName, ControlRequest["type"]>;

export function requestFields(request: ControlRequest): Field[] {
  switch (request.type) {
    case "hello":
      return [["nonce", request.body.nonce]];
    case "ping":
    case "pushCommit":
    case "list":
    case "stats":
    case "usage":
    case "shutdown":
      return [];
    case "configure":
      return configureFields(request.body);
    case "volume":
      return volumeFields(request.body);
    case "pushBegin":
      return [
        ["volume", request.body.volume],
        ["atomic", bool(request.body.atomic)],
      ];
    case "pushFile":
      return [["path", request.body.path], ["mode", octal(request.body.mode)], ...owner(request.body)];
    case "create":
      return createFields(request.body);
    case "start":
    case "kill":
    case "remove":
      return [["container", request.body.container]];
    case "signal":
      return [
        ["container", request.body.container],
        ["signal", String(request.body.signal)],
      ];
    case "log":
      return [
        ["container", request.body.container],
        ["log-port", String(request.body.logPort)],
      ];
    case "exec":
      return execFields(request.body);
    case "attach":
      return [
        ["container", request.body.container],
        ["stdin", bool(request.body.stdin)],
      ];
    case "dial":
      return [
        ["port", String(request.body.port)],
        ["credit", String(request.body.credit)],
      ];
    case "execResize":
      return sizeFields(request.body);
    case "execSignal":
      return [["signal", String(request.body.signal)]];
    case "execCredit":
      return [["bytes", String(request.body.bytes)]];
  }
}

function configureFields(request: ConfigureRequest): Field[] {
  const { network } = request;
  return [
    ...optional("wall-clock-ns", request.wallClockNs),
    ...(request.entropy === undefined ? [] : [["entropy", hex(request.entropy)] as const]),
    ...optional("hostname", request.hostname),
    ...(network === undefined ? [] : networkFields(network)),
    ...Object.entries(request.sysctls ?? {}).map(([name, value]): Field => ["sysctl", `${name}=${value}`]),
    ...optional("scratch-disk", request.scratchDisk),
    ...optional("memory-bytes", request.memoryBytes),
  ];
}

function networkFields(network: GuestNetwork): Field[] {
  return [
    ["mac", network.mac],
    ...optional("mtu", network.mtu),
    ...network.addresses.map((address): Field => ["address", address]),
    ...network.routes.map(
      ({ destination, gateway }): Field => ["route", gateway === undefined ? destination : `${destination} ${gateway}`],
    ),
  ];
}

function volumeFields(request: VolumeRequest): Field[] {
  const { source } = request;
  const fields: Field[] = [
    ["name", request.name],
    ["type", source.type],
  ];
  if (source.type === "tmpfs" || source.type === "scratch") fields.push(...optional("size-bytes", source.sizeBytes));
  if (source.type === "disk") fields.push(["disk", String(source.disk)], ["fs", source.fs]);
  if (source.type === "virtiofs") fields.push(["tag", source.tag]);
  if (source.type === "disk" || source.type === "virtiofs") fields.push(["ro", bool(source.readOnly)]);
  if (request.mode !== undefined) fields.push(["mode", octal(request.mode)]);
  return [...fields, ...owner(request)];
}

function createFields(request: CreateRequest): Field[] {
  return [
    ["container", request.container],
    ["image", String(request.image)],
    ["log-port", String(request.logPort)],
    // Only where they are wanted: an agent of an earlier version does not know them.
    ...(request.stdin === "closed" ? [] : [["stdin", "1"] as const]),
    ...(request.stdin === "once" ? [["stdin-once", "1"] as const] : []),
    ...(request.tty ? [["tty", "1"] as const] : []),
    ["privileged", bool(request.privileged)],
    ["ro-rootfs", bool(request.readOnlyRoot)],
    ["pidns", request.sharePidNamespace ? "pod" : "own"],
    ...processFields(request.process),
    ...request.tmpfs.map((path): Field => ["tmpfs", path]),
    ...request.mounts.flatMap(mountFields),
    ...request.maskedPaths.map((path): Field => ["masked", path]),
    ...request.readOnlyPaths.map((path): Field => ["readonly", path]),
    ...Object.entries(request.cgroup).map(([file, value]): Field => ["cgroup", `${file}=${value}`]),
    ...request.rlimits.map(({ name, soft, hard }): Field => ["rlimit", `${name}:${limit(soft)}:${limit(hard)}`]),
    ...optional("oom-score-adj", request.oomScoreAdj),
    ...optional("termination-path", request.terminationMessagePath),
  ];
}

function mountFields(mount: GuestMount): Field[] {
  return [
    ["mount", mount.target],
    ["mount.volume", mount.volume],
    ...optional("mount.root", mount.root),
    ...optional("mount.path", mount.path),
    ...(mount.create ? [["mount.create", "1"] as const] : []),
    ["mount.ro", bool(mount.readOnly)],
  ];
}

function execFields(request: ExecStartRequest): Field[] {
  const { columns, rows } = request;
  return [
    ["container", request.container],
    ...processFields(request.process),
    ["tty", bool(request.tty)],
    ["stdin", bool(request.stdin)],
    ...(columns === undefined || rows === undefined ? [] : sizeFields({ columns, rows })),
    ["credit", String(request.credit)],
  ];
}

function processFields(process: GuestProcess): Field[] {
  return [
    ...process.argv.map((value): Field => ["argv", value]),
    ...process.env.map((value): Field => ["env", value]),
    ["cwd", process.cwd],
    ["uid", String(process.uid)],
    ["gid", String(process.gid)],
    ...process.groups.map((gid): Field => ["group", String(gid)]),
    ["caps", process.capabilities.toString(16)],
    ["no-new-privs", bool(process.noNewPrivileges)],
    ...(process.seccomp === undefined ? [] : [["seccomp", hex(process.seccomp)] as const]),
  ];
}

function sizeFields(size: { readonly columns: number; readonly rows: number }): Field[] {
  return [
    ["columns", String(size.columns)],
    ["rows", String(size.rows)],
  ];
}

function owner(of: { readonly uid?: number; readonly gid?: number }): Field[] {
  return [...optional("uid", of.uid), ...optional("gid", of.gid)];
}

function optional(key: string, value: string | number | bigint | undefined): Field[] {
  return value === undefined ? [] : [[key, String(value)]];
}

const bool = (value: boolean): string => (value ? "1" : "0");
const octal = (mode: number): string => mode.toString(8);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const limit = (value: number): string => (Number.isFinite(value) ? String(value) : "unlimited");
