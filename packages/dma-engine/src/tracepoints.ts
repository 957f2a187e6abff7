import { tracepoint } from '@iommukit/kernel';

/** A job was submitted, refused by the driver, or ended (done, cancelled, failed, stopped, invalid). */
export const engineJob = tracepoint<{
  dev: string;
  pasid: number;
  privileged: boolean;
  op: string;
  bytes: number;
  status: string;
}>(
  'engine_job',
  (r) =>
    `dev=${r.dev} pasid=${r.pasid}${r.privileged ? ' privileged' : ''} op=${r.op} bytes=${r.bytes} status=${r.status}`,
);

/** The device asks for a translation. */
export const engineTranslate = tracepoint<{
  dev: string;
  pasid: number;
  addr: bigint;
  write: boolean;
  granted: boolean;
}>(
  'engine_translate',
  (r) =>
    `dev=${r.dev} pasid=${r.pasid} addr=0x${r.addr.toString(16)} ${r.write ? 'write' : 'read'} ${r.granted ? 'granted' : 'denied'}`,
);

/** The device moves data: one page or less. */
export const engineDma = tracepoint<{ dev: string; pasid: number; addr: bigint; bytes: number; write: boolean }>(
  'engine_dma',
  (r) => `dev=${r.dev} pasid=${r.pasid} addr=0x${r.addr.toString(16)} bytes=${r.bytes} ${r.write ? 'write' : 'read'}`,
);

/** A PASID was stopped: nothing with it follows. */
export const engineStop = tracepoint<{ dev: string; pasid: number; kind: string }>(
  'engine_stop',
  (r) => `dev=${r.dev} pasid=${r.pasid} kind=${r.kind}`,
);
