// The functions of rows.h, for one instruction set: see level.inc.h.

// quantise_row rounds width numbers times inverse_range (NULL for 1) to bytes, with the
// scale that the largest magnitude among them asks for.
INLINE void quantise_row(const float *row, const float *inverse_range, size_t width, float largest, uint8_t *to, float *scale) {
    *scale = (largest > 1e-30f ? largest : 1e-30f) / 127;
    float inverse = 1 / *scale;
    for (size_t i = 0; i < width; i += LANES) {
        vec v = load(row + i, width - i) * inverse;
        if (inverse_range)
            v *= load(inverse_range + i, width - i);
        store_bytes(to + i, rounded(v, ZERO), width - i);
    }
}

// gelu_of is GELU(v) = v (1 + erf(v / sqrt 2)) / 2 to 1.4e-4: v/2 plus an even function, which is a
// polynomial in v^2 (the one of its degree that comes nearest over [0, 4]) or, from 4 on, |v|/2. The
// tanh form is another 5e-4 off; a step of the rounding is 5e-3 or more.
INLINE vec gelu_of(vec v) {
    vec s = v * v;
    vec p = 1.04196182e-7f - 1.30129666e-9f * s;
    p = -3.65713637e-6f + s * p;
    p = 7.48550926e-5f + s * p;
    p = -1.00649074e-3f + s * p;
    p = 9.50539963e-3f + s * p;
    p = -6.58878454e-2f + s * p;
    p = 3.98673396e-1f + s * p;
    ivec near = s < 16;
    vec even = (vec)(((ivec)(s * p) & near) | ((ivec)(magnitude(v) * .5f) & ~near));
    return v * .5f + even;
}

// The steps of norm_rows for LANES numbers of a row from i on, or for those that are left. A loop does whole ones
// only and what is left at the end apart: calls for that keep what is summed up out of registers.

INLINE TARGET vec norm_add(const struct norm *n, size_t row, size_t i, size_t left) {
    vec v = load(n->x + (row - n->first) * n->width + i, left);
    if (n->scale)
        v *= n->scale[row];
    if (n->bias)
        v += load(n->bias + i, left);
    if (n->residual)
        v += load(n->residual + row * n->width + i, left);
    store(n->y + row * n->width + i, v, left);
    return v;
}

INLINE TARGET vec norm_square(const float *y, float mean, size_t left) {
    vec v = first(load(y, left) - mean, left);
    return v * v;
}

INLINE TARGET vec norm_scale(const struct norm *n, float *y, float mean, float inverse, size_t i, size_t left) {
    vec v = (load(y + i, left) - mean) * inverse * load(n->gamma + i, left) + load(n->beta + i, left);
    store(y + i, v, left);
    return magnitude(v * load(n->inverse_range + i, left));
}

static TARGET void norm_rows(const struct norm *of, size_t from, size_t to) {
    const struct norm copy = *of, *n = &copy; // which no store changes
    size_t width = n->width, i;
    for (size_t row = from; row < to; row++) {
        float *y = n->y + row * width;
        vec sum = {0}, squares = {0}, largest = {0};
        for (i = 0; i + LANES <= width; i += LANES)
            sum += norm_add(n, row, i, LANES);
        if (i < width)
            sum += norm_add(n, row, i, width - i);
        float mean = sum_of(sum) / width;
        for (i = 0; i + LANES <= width; i += LANES)
            squares += norm_square(y + i, mean, LANES);
        if (i < width)
            squares += norm_square(y + i, mean, width - i);
        float inverse = 1 / sqrtf(sum_of(squares) / width + n->epsilon);
        for (i = 0; i + LANES <= width; i += LANES)
            largest = larger(largest, norm_scale(n, y, mean, inverse, i, LANES));
        if (i < width)
            largest = larger(largest, norm_scale(n, y, mean, inverse, i, width - i));
        quantise_row(y, n->inverse_range, width, largest_of(largest), n->quantised + row * width, n->out_scale + row);
    }
}

static TARGET void gelu_rows(const struct gelu *g, size_t from, size_t to, float *room) {
    size_t width = g->width;
    for (size_t row = from; row < to; row++) {
        const float *x = g->x + (row - g->first) * width;
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

// QUERIES is how many queries of a text are worked on at a time, each in a lane, and TOGETHER of
// those whose values are summed at a time.
enum { QUERIES = LANES, TOGETHER = QUERIES < 8 ? QUERIES : 8 };

static size_t attend_room(const struct attention *a) {
    size_t head = padded(a->head_width);
    return QUERIES * a->width + head * QUERIES + a->keys * QUERIES + a->keys * 2;
}

// add_values writes 2 LANES columns of out from there on, or those that are left: the values by their weights.
INLINE TARGET void add_values(const struct attention *a, const float *values, const int32_t *kept, size_t keys, const float *weights,
                              vec inverse, size_t at, size_t count, float *out, size_t left) {
    size_t beyond = left > LANES ? left - LANES : 0;
    const float *bias = a->bias + 2 * a->width + at;
    for (size_t i = 0; i < count; i += TOGETHER) {
        vec low[TOGETHER] = {0}, high[TOGETHER] = {0};
        for (size_t k = 0; k < keys; k++) {
            const float *value = values + kept[k] * a->kv_width, *weight = weights + k * QUERIES + i;
            vec v = load(value, left), w = beyond ? load(value + LANES, beyond) : (vec){0};
            UNROLL for (size_t j = 0; j < TOGETHER; j++) {
                low[j] += v * weight[j];
                high[j] += w * weight[j];
            }
        }
        UNROLL for (size_t j = 0; j < TOGETHER; j++) {
            if (i + j >= count)
                break;
            float *to = out + (i + j) * a->width + at;
            store(to, low[j] * inverse[i + j] + load(bias, left), left);
            if (beyond)
                store(to + LANES, high[j] * inverse[i + j] + load(bias + LANES, beyond), beyond);
        }
    }
}

static TARGET void attend(const struct attention *a, size_t text, size_t from, float *room) {
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
            vec block[LANES], bias = load(a->bias + at + c, left);
            for (size_t i = 0; i < LANES; i++)
                block[i] = i < count ? (load(q + i * a->q_width + at + c, left) * q_scale[i] + bias) * divisor : (vec){0};
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
            size_t left = head_width - c;
            if (left >= 2 * LANES)
                add_values(a, kv + width + at + c, kept, keys, weights, inverse, at + c, count, out, 2 * LANES);
            else
                add_values(a, kv + width + at + c, kept, keys, weights, inverse, at + c, count, out, left);
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
