import { tracepoint } from '@iommukit/kernel';

/** What trace records say for the PASID of a request: null without one. */
export function pasidOrNull(pasid: number): number | null {
  return pasid < 0 ? null : pasid;
}

/** A job was submitted, refused by the driver, or ended (done, cancelled, failed, stopped, invalid). */
export const engineJob = tracepoint<{
  dev: string;
  pasid: number | null;
  privileged: boolean;
  op: string;
  bytes: number;
  status: string;
}>(
  'engine_job',
  (r) =>
    `dev=${r.dev} pasid=${r.pasid ?? 'none'}${r.privileged ? ' privileged' : ''} op=${r.op} bytes=${r.bytes} status=${r.status}`,
);

/** The device asks for a translation. */
export const engineTranslate = tracepoint<{
  dev: string;
  pasid: number | null;
  addr: bigint;
  write: boolean;
  granted: boolean;
}>(
  'engine_translate',
  (r) =>
    `dev=${r.dev} pasid=${r.pasid ?? 'none'} addr=0x${r.addr.toString(16)} ${r.write ? 'write' : 'read'} ${r.granted ? 'granted' : 'denied'}`,
);

/** The device moves data: one page or less. */
export const engineDma = tracepoint<{ dev: string; pasid: number | null; addr: bigint; bytes: number; write: boolean }>(
  'engine_dma',
  (r) =>
    `dev=${r.dev} pasid=${r.pasid ?? 'none'} addr=0x${r.addr.toString(16)} bytes=${r.bytes} ${r.write ? 'write' : 'read'}`,
);

/** A PASID was stopped: nothing with it follows. */
export const engineStop = tracepoint<{ dev: string; pasid: number | null; kind: string }>(
  'engine_stop',
  (r) => `dev=${r.dev} pasid=${r.pasid ?? 'none'} kind=${r.kind}`,
);
