import type { HardwarePlace, Settings, Step } from '@iommukit/kernel';
import type { IommuHardwareModule } from '@iommukit/machine';
import type { Link, Translation, TranslationAgent, Upstream } from '@iommukit/pci-ats';
import type { Backend } from '@iommukit/scenario';
import { traced } from './traced.js';

/** An IOMMU around another one, which writes down every message: nothing but the interface is left of the inner one. */
export class TracedAgent implements TranslationAgent {
  readonly inner: TranslationAgent;
  readonly calls: string[];

  constructor(inner: TranslationAgent, calls: string[]) {
    this.inner = inner;
    this.calls = calls;
  }

  connect(link: Link): void {
    this.calls.push('connect');
    this.inner.connect(link);
  }

  receive(link: Link, tlp: Upstream): Step<void> {
    this.calls.push(tlp.kind);
    return this.inner.receive(link, tlp);
  }

  translate(stream: number, pasid: number, page: number, want: number, out: Translation): boolean {
    this.calls.push('translate');
    return this.inner.translate(stream, pasid, page, want, out);
  }
}

/** A backend whose driver and hardware both write down what they are asked. */
export function tracedBackend(backend: Backend, calls: string[]): Backend {
  const { hardware } = backend;
  const wrapped: IommuHardwareModule = {
    ...hardware,
    create: (place: HardwarePlace, settings: Settings, parts?: object) =>
      new TracedAgent(hardware.create(place, settings, parts ?? hardware.parts), calls),
  };
  return { ...backend, driver: traced(backend.driver, calls), hardware: wrapped };
}
