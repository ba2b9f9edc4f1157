// The functions of rows.h, for one instruction set: rows.c includes this once for each, with
// NAME and TARGET.

static TARGET void NAME(norm_rows)(const struct norm *n, size_t from, size_t to) {
    size_t width = n->width;
    for (size_t row = from; row < to; row++) {
        const float *x = n->x + row * width;
        float *y = n->y + row * width;
        vec sum = {0};
        for (size_t i = 0; i < width; i += LANES) {
            size_t left = width - i;
            vec v = load(x + i, left);
            if (n->scale)
                v *= n->scale[row];
            if (n->bias)
                v += load(n->bias + i, left);
            if (n->residual)
                v += load(n->residual + row * width + i, left);
            store(y + i, v, left);
            sum += v;
        }
        float mean = sum_of(sum) / width;
        vec squares = {0};
        for (size_t i = 0; i < width; i += LANES) {
            size_t left = width - i;
            vec v = load(y + i, left) - mean;
            if (left < LANES) // what is not there is 0, not -mean
                memset((char *)&v + left * sizeof(float), 0, (LANES - left) * sizeof(float));
            squares += v * v;
        }
        float inverse = 1 / sqrtf(sum_of(squares) / width + n->epsilon);
        vec largest = {0};
        for (size_t i = 0; i < width; i += LANES) {
            size_t left = width - i;
            vec v = (load(y + i, left) - mean) * inverse * load(n->gamma + i, left) + load(n->beta + i, left);
            store(y + i, v, left);
            largest = larger(largest, magnitude(v * load(n->inverse_range + i, left)));
        }
        quantise_row(y, n->inverse_range, width, largest_of(largest), n->quantised + row * width, n->out_scale + row);
    }
}

static TARGET void NAME(gelu_rows)(const struct gelu *g, size_t from, size_t to, float *room) {
    size_t width = g->width;
    for (size_t row = from; row < to; row++) {
        const float *x = g->x + row * width;
        float scale = g->scale[row];
        vec largest = {0};
        for (size_t i = 0; i < width; i += LANES) {
            size_t left = width - i;
            vec v = load(x + i, left) * scale + load(g->bias + i, left);
            v = gelu_of(v);
            store(room + i, v, left);
            largest = larger(largest, v);
        }
        float step = largest_of(largest) / (255 - GELU_ZERO), least = 0.1701f / GELU_ZERO;
        step = step > least ? step : least;
        float inverse = 1 / step;
        for (size_t i = 0; i < width; i += LANES) {
            size_t left = width - i;
            store_bytes(g->quantised + row * width + i, rounded(load(room + i, left) * inverse, GELU_ZERO), left);
        }
        g->out_scale[row] = step;
    }
}

static TARGET void NAME(attend)(const struct attention *a, size_t text, size_t from, float *room) {
    size_t count = a->queries - from < QUERIES ? a->queries - from : QUERIES;
    size_t head_width = a->head_width, width = a->width;
    float *out = room;                                  // [QUERIES, width]
    float *columns = out + QUERIES * width;             // [head, QUERIES]: a head's queries, transposed
    float *weights = columns + padded(head_width) * QUERIES; // [keys, QUERIES]
    float *scales = weights + a->keys * QUERIES;        // of the keys that the mask keeps
    int32_t *kept = (int32_t *)(scales + a->keys);
    size_t keys = 0;
    const int64_t *mask = a->mask + text * a->keys;
    int64_t any = 0;
    for (size_t k = 0; k < a->keys; k++)
        any |= mask[k];
    for (size_t k = 0; k < a->keys; k++)
        if (mask[k] || !any) {
            scales[keys] = a->kv_scale[text * a->keys + k];
            kept[keys++] = k;
        }
    const float *q = a->q + (text * a->queries + from) * a->q_width;
    const float *q_scale = a->q_scale + text * a->queries + from;
    const float *kv = a->kv + text * a->keys * a->kv_width + a->kv_width - 2 * width;
    float divisor = 1 / sqrtf(head_width);

    for (size_t head = 0; head < a->heads; head++) {
        size_t at = head * head_width;
        for (size_t c = 0; c < head_width; c += LANES) {
            size_t left = head_width - c;
            vec block[LANES] = {0};
            vec bias = load(a->bias + at + c, left);
            for (size_t i = 0; i < count; i++)
                block[i] = (load(q + i * a->q_width + at + c, left) * q_scale[i] + bias) * divisor;
            transpose(block);
            memcpy(columns + c * QUERIES, block, sizeof block);
        }

        // A query is a lane from here to the softmax.
        vec largest = splat(-INFINITY);
        for (size_t k = 0; k < keys; k += 8) {
            vec score[8] = {0};
            const float *key[8];
            for (size_t j = 0; j < 8; j++)
                key[j] = kv + kept[k + j < keys ? k + j : keys - 1] * a->kv_width + at;
            for (size_t c = 0; c < head_width; c++) {
                vec column = load(columns + c * QUERIES, LANES);
                UNROLL for (size_t j = 0; j < 8; j++)
                    score[j] += column * key[j][c];
            }
            UNROLL for (size_t j = 0; j < 8; j++) {
                if (k + j >= keys)
                    break;
                vec s = score[j] * scales[k + j];
                store(weights + (k + j) * QUERIES, s, LANES);
                largest = larger(largest, s);
            }
        }
        vec sum = {0};
        for (size_t k = 0; k < keys; k++) {
            vec w = exponential(load(weights + k * QUERIES, LANES) - largest);
            sum += w;
            store(weights + k * QUERIES, w * scales[k], LANES);
        }
        vec inverse = 1 / sum;

        for (size_t c = 0; c < head_width; c += 2 * LANES) {
            size_t left = head_width - c, beyond = left > LANES ? left - LANES : 0;
            for (size_t i = 0; i < count; i += 8) {
                vec low[8] = {0}, high[8] = {0};
                for (size_t k = 0; k < keys; k++) {
                    const float *value = kv + kept[k] * a->kv_width + width + at + c;
                    const float *weight = weights + k * QUERIES + i;
                    vec v = load(value, left), w = beyond ? load(value + LANES, beyond) : (vec){0};
                    UNROLL for (size_t j = 0; j < 8; j++) {
                        low[j] += v * weight[j];
                        high[j] += w * weight[j];
                    }
                }
                const float *bias = a->bias + 2 * width + at + c;
                UNROLL for (size_t j = 0; j < 8; j++) {
                    if (i + j >= count)
                        break;
                    float *to = out + (i + j) * width + at + c;
                    store(to, low[j] * inverse[i + j] + load(bias, left), left);
                    if (beyond)
                        store(to + LANES, high[j] * inverse[i + j] + load(bias + LANES, beyond), beyond);
                }
            }
        }
    }

    for (size_t i = 0; i < count; i++) {
        vec largest = {0};
        for (size_t c = 0; c < width; c += LANES)
            largest = larger(largest, magnitude(load(out + i * width + c, width - c)));
        size_t row = text * a->queries + from + i;
        quantise_row(out + i * width, NULL, width, largest_of(largest), a->quantised + row * width, a->out_scale + row);
    }
}
