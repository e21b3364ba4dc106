// Tests audits of models that cannot answer but through their latents.
import { testKnown } from '../helpers/known-verdicts.ts';

testKnown('necessary');
