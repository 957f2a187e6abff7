import { column } from './column.js';
import { vtdCandidate } from './vtd.js';

column(() => vtdCandidate());
