// What the API sends, as its documentation has it.
import type { Json } from "./json";

export const STATUSES = ["pending", "wip", "completed", "retrieved", "failed", "cancelled"] as const;
export type Status = (typeof STATUSES)[number];
export type Action = "cancel" | "retry" | "delete";

export interface OrderError {
  type: string;
  message: string;
  traceback?: string | null;
}

export interface Order {
  jobId: string;
  type: string;
  queue: string;
  status: Status;
  priority: string;
  payload: Json;
  result: Json;
  error: OrderError | null;
  attempts: number;
  maxAttempts: number;
  progress: { percent: number | null; message?: string | null } | null;
  worker: string | null;
  createdOn: string;
  runAt: string;
  startedOn: string | null;
  lastUpdated: string;
  completedOn: string | null;
  retrievedOn: string | null;
  executionTimeMs: number | null;
  owner: string;
  tags: string[];
  copyOf?: string | null;
  schedule?: string | null;
}

export interface Attempt {
  number: number;
  lease: number;
  worker: string | null;
  startedOn: string | null;
  endedOn: string | null;
  outcome: string;
  error: OrderError | null;
}

export interface OrderDetail extends Order {
  crashes: number;
  history: Attempt[];
}

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
  searchedTo?: string;
}

export interface Metrics {
  systemStatus: string;
  statusReason: string;
  statusSince: string;
  workers: { active: number; idle: number };
  tasks: { pending: number; inProgress: number; completed: number; failed: number };
  total: number;
  retrieved: number;
  cancelled: number;
  averageExecutionTimeMs: number | null;
  uptime: string;
  oldestPendingSeconds: number | null;
  processedPerMinute: number;
  updatedOn: string;
  warning?: string;
}

export interface Worker {
  workerId: string;
  manager: string;
  state: string;
  kind: string;
  cpuPercent: number | null;
  ramMb: number | null;
  ramShared: boolean;
  assigned: number;
  done: number;
  currentJob: string | null;
  currentJobStatus: string | null;
  lastHeartbeat: string;
}

export interface Manager {
  managerId: string;
  host: string;
  pid: number;
  version: string;
  slots: number;
  transport: string;
  queues: string[] | null;
  state: string;
  startedOn: string;
  lastHeartbeat: string;
  proof: string;
}

export interface WorkerPage extends Page<Worker> {
  managers: Manager[];
}

export interface EventItem {
  id: string;
  timestamp: string;
  event: string;
  description: string;
  job: string | null;
  type: string | null;
  worker: string | null;
  manager: string | null;
}

export interface LogLine {
  seq: number;
  time: string;
  attempt: number;
  stream: string;
  level: string | null;
  line: string;
}

export interface LogPage extends Page<LogLine> {
  dropped: number;
}

export interface Reason {
  code: string;
  message: string;
  remedy: string | null;
}

export interface Why {
  status: Status;
  reasons: Reason[];
}

export interface Schema {
  type?: string;
  title?: string;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  enum?: Json[];
  anyOf?: Schema[];
  default?: Json;
  minimum?: number;
  maximum?: number;
  $ref?: string;
  $defs?: Record<string, Schema>;
}

export interface JobType {
  type: string;
  description: string;
  queue: string;
  priority: string;
  isolation: string;
  timeout: number;
  maxAttempts: number;
  payloadSchema: Schema;
}

export interface Schedule {
  name: string;
  expression: string;
  timezone: string;
  type: string;
  queue: string;
  enabled: boolean;
  lastFire: string | null;
  lastJobId: string | null;
  nextRuns: string[];
}

/** A queue; where the server tells no figures there is only its name. */
export interface Queue {
  queue: string;
  pending?: number;
  scheduled?: number | string;
  inFlight?: number;
  oldestWaitSeconds?: number;
  paused?: boolean;
  pausedSince?: string | null;
  pausedBy?: string | null;
  managers?: string[];
}

export interface QueuePage extends Page<Queue> {
  allPaused: boolean;
  transport: { name: string } & Record<string, Json>;
}

interface Times {
  p50: number;
  p95: number;
}

export interface Series {
  processed: {
    minute: string;
    completed: number;
    failed: number;
    runMs: Times | null;
    waitMs: Times | null;
  }[];
  runMs: Times | null;
  waitMs: Times | null;
  types: { type: string; processed: number; share: number }[];
  usage: {
    seconds: number;
    times: string[];
    workers: { workerId: string; cpuPercent: (number | null)[]; ramMb: (number | null)[] }[];
  };
}

export interface BulkAction {
  actionId: string;
  action: Action;
  state: "counting" | "working" | "done";
  total: number | null;
  done: number;
}
