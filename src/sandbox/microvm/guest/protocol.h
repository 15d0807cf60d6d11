/*
 * The protocol between Gantry and the agent, version 1. protocol/messages.ts is its mirror: change both.
 *
 * Channel: the virtio-serial port "gantry.agent". Frames, little endian:
 *
 *   u32 magic  u32 length  u16 type  u16 flags  u32 id  | payload (length bytes, at most 64 KiB) | u32 CRC-32
 *
 * The CRC (IEEE, as zlib's) covers header and payload. It is there for the one thing that goes wrong on a reliable
 * channel: a peer that dies in the middle of a frame. Whoever sees a wrong magic, length or CRC drops what it has and
 * looks for the next magic. The host starts every connection with HELLO and ignores everything until the answer with
 * its nonce; when none comes soon (its bytes may have completed an old half frame) it sends 64 KiB of 0xff, which
 * ends any half frame, and HELLO again. HELLO makes the agent drop its unsent output, end all execs and forget
 * unfinished pushes; containers are not touched.
 *
 * Control payloads are "key=value" strings, each ended by NUL; keys may repeat and their order counts. A message that
 * needs more than one frame sets MORE on all but the last; all have the same type and id and nothing comes between
 * them; 1 MiB at most in all. Data payloads are raw bytes and never use MORE.
 *
 * Every request (id != 0) is answered by OK or ERROR (errno=, code=, message=) with the same id, except PUSH_FILE and
 * PUSH_DATA (only errors, which end the push) and the EXEC_* ones (the session's end tells). Events have id 0.
 * Names of volumes and containers: [a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?, at most 63 bytes. Disks are numbers: 0 is /dev/vda.
 * Times are ns since the epoch; sizes bytes; modes octal; booleans 0 or 1.
 *
 * host → agent
 *   HELLO       nonce=(1–64 bytes) → nonce= version= kernel= configured=
 *   PING        → (nothing)
 *   CONFIGURE   all optional, done in this order, may be repeated: wall-clock-ns= entropy=HEX hostname= mac= mtu=
 *               address=IP/PREFIX… (the old ones go) route=DST/PREFIX[ GATEWAY]… ("default" is a DST) sysctl=NAME=VALUE…
 *               memory-bytes=N (of all containers together; more than there is changes nothing)
 *               scratch-disk=N (an ext4 with project quotas, for writable layers and emptyDirs)
 *               CREATE is refused before CONFIGURE has brought entropy and a scratch disk.
 *   VOLUME      name= type=tmpfs|scratch|files|disk|virtiofs size-bytes= mode= uid= gid= disk=N fs=ext4|erofs tag= ro=
 *               tmpfs: guest memory; scratch: a directory on the scratch disk, with a quota; files: target of
 *               pushes. One that exists with the same type is left as it is.
 *   PUSH_BEGIN  volume= atomic= ; the id of this request is the push's, the frames below carry it; one push at a time
 *               atomic=1: as the kubelet does: a new directory, links NAME → ..data/NAME, and one rename of ..data
 *               atomic=0: each file is replaced by rename, the others stay
 *   PUSH_FILE   path=(relative, no "..") mode= uid= gid=  ; begins the next file
 *   PUSH_DATA   raw bytes of that file
 *   PUSH_COMMIT → (nothing); until it is answered nothing can be seen (atomic=1)
 *   CREATE      container= image=DISK argv=… env=NAME=VALUE… cwd= uid= gid= group=GID… caps=HEX (bounding set; also
 *               effective when uid is 0) no-new-privs= ro-rootfs= privileged= pidns=own|pod log-port=N
 *               termination-path= seccomp=HEX (struct sock_filter[]) rlimit=NAME:SOFT:HARD… (NAME as in RLIMIT_NAME,
 *               lower case; "unlimited") oom-score-adj=
 *               stdin=1 (else it reads an end of file) stdin-once=1 (closed for good when its first ATTACH with stdin ends)
 *               tty=1 (a terminal for all three; one stream of output)
 *               cgroup=FILE=VALUE… (cpu.max, cpu.weight, memory.max, memory.swap.max, pids.max …)
 *               mount=TARGET then, for that mount: mount.volume= mount.root=(a name in it, instead of all) mount.path=(sub path) mount.create=0|1 mount.ro= ;
 *               masked=PATH… readonly=PATH… tmpfs=TARGET…
 *               → pid= ; all is ready up to execve. An existing id is answered code=exists.
 *   START       container= → (nothing) once execve worked; ERROR with its errno else (state: exited, code 128)
 *   SIGNAL      container= signal=N  ; to its first process. A dead one is fine.
 *   KILL        container=  ; SIGKILL to everything in its cgroup. Answered at once: EXIT tells the end.
 *   REMOVE      container=  ; kills it first; answered when it is gone. Unknown is fine.
 *   LIST        → for each: container= state=creating|created|running|exited pid= created-ns= started-ns= finished-ns=
 *               exit-code= (128+n for a signal) oom= log-port= message=(termination message, ≤ 4096 bytes)
 *   STATS       → for each running: container= cpu-ns= memory-bytes= (the working set) processes= usage-bytes=
 *                 rss-bytes= cache-bytes= periods= throttled-periods= throttled-ns=
 *   USAGE       → for each scratch volume and each writable layer: volume= or container=, bytes= inodes=
 *   LOG         container= log-port=N  ; later lines go to port N; answered when all earlier ones are written
 *   EXEC        container= argv=… env=… cwd= uid= gid= group=… caps= no-new-privs= seccomp= tty= stdin= columns= rows=
 *               credit=BYTES (of output that the agent may send) → (nothing) once execve worked. Its id is the session's.
 *   ATTACH      container= stdin=0|1 → (nothing). Its id is a session's, too: EXEC_STDIN goes to the app of a running container,
 *               EXEC_RESIZE to its terminal, and EXEC_SIGNAL only lets go. What the app prints is in its log, for all.
 *   DIAL        port= credit=BYTES → (nothing) once a TCP connection to the loopback address (IPv4, else IPv6) stands; its
 *               errno else. Its id is a session's, too: EXEC_STDIN and EXEC_OUTPUT are its data, an EOF of the first
 *               shuts it down for writing, EXEC_SIGNAL closes it. It has ended when the app has closed it.
 *   EXEC_STDIN  raw bytes, at most the credit; flag EOF closes stdin.     EXEC_RESIZE  columns= rows=
 *   EXEC_SIGNAL signal=N                                                  EXEC_CREDIT  bytes= (more output allowed)
 *   SHUTDOWN    → OK, then kill all, sync, power off
 * agent → host
 *   OK, ERROR   see above
 *   EXEC_OUTPUT raw bytes; flag STDERR for the second stream             EXEC_STDIN_CREDIT bytes= (initially 65536)
 *   EXEC_EXIT   exit-code= ; after all output; the session's id is free again. 0 for ATTACH and DIAL: EVENT_EXIT tells the app's
 *   EVENT_EXIT  as a container in LIST        EVENT_OOM  container=        EVENT_FATAL message=
 *
 * Log ports "gantry.log.N": CRI lines, <RFC 3339 with ns> stdout|stderr P|F <text>. A full port stops the app's pipe;
 * nothing is dropped. EVENT_EXIT comes after the last line was handed to the port.
 */
#ifndef GANTRY_PROTOCOL_H
#define GANTRY_PROTOCOL_H
#include <stdint.h>

#define PROTOCOL_VERSION 1
#define FRAME_MAGIC 0x59544e47u /* "GNTY" */
#define HEADER_BYTES 16u
#define TRAILER_BYTES 4u
#define MAX_PAYLOAD 65536u
#define MAX_MESSAGE (1u << 20)
#define EXEC_STDIN_WINDOW 65536u
#define MAX_NAME 63
#define TERMINATION_MESSAGE_BYTES 4096

enum frame_flag { FLAG_MORE = 1, FLAG_EOF = 2, FLAG_STDERR = 4 };

enum frame_type {
	HELLO = 1, PING, CONFIGURE, VOLUME, PUSH_BEGIN, PUSH_FILE, PUSH_DATA, PUSH_COMMIT, CREATE, START, SIGNAL, KILL,
	REMOVE, LIST, STATS, LOG, EXEC, EXEC_STDIN, EXEC_RESIZE, EXEC_SIGNAL, EXEC_CREDIT, SHUTDOWN, ATTACH, USAGE, DIAL,
	OK = 64, ERROR, EXEC_OUTPUT, EXEC_STDIN_CREDIT, EXEC_EXIT, EVENT_EXIT, EVENT_OOM, EVENT_FATAL,
};

struct frame { uint32_t length; uint16_t type; uint16_t flags; uint32_t id; };
#endif
