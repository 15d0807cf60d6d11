/** The protocol between the host and the agent in a micro-VM: typed requests, validated answers. No I/O. */
export { AgentDecoder, encodeData, encodeRequest, parseFields, parseList, parseStats, parseUsage } from "./codec.ts";
export { resyncFill } from "./frames.ts";
export {
  type AgentMessage,
  createReply,
  type ErrorReply,
  EXEC_STDIN_WINDOW,
  type Field,
  type GuestContainer,
  type GuestStats,
  guestName,
  type HelloReply,
  helloReply,
  MAX_MESSAGE,
  MAX_PAYLOAD,
  PROTOCOL_VERSION,
} from "./messages.ts";
export type {
  ConfigureRequest,
  ControlRequest,
  CreateRequest,
  ExecStartRequest,
  GuestMount,
  GuestNetwork,
  GuestProcess,
  PushFile,
  VolumeRequest,
} from "./requests.ts";
