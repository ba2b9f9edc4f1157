// The functions of train.h, for one instruction set: see level.inc.h.

// gate_of is 1 + erf u, where bell is e^(-u^2): 2 or 0 less bell times a polynomial of
// t = 1 / (1 + .55 |u|) (the form of Abramowitz and Stegun 1964, "Handbook of Mathematical Functions",
// 7.1.26, with one term more: 2e-8 off before rounding).
INLINE vec gate_of(vec u, vec bell) {
    vec t = 1 / (1 + .55f * magnitude(u));
    vec p = -.518090034f + t * .107337079f;
    p = .759798887f + t * p;
    p = -.0414945323f + t * p;
    p = .390869553f + t * p;
    p = .301579065f + t * p;
    vec tail = bell * t * p;
    return where(u < 0, tail, 2 - tail);
}

static TARGET void scaled_gelu(const struct scaled_gelu *g, size_t from, size_t to) {
    size_t end = to * g->width;
    for (size_t i = from * g->width; i < end; i += LANES) {
        vec u = load(g->u + i, end - i);
        store(g->y + i, u * gate_of(u, exponential(-u * u)), end - i);
    }
}

static TARGET void scaled_gelu_grad(const struct scaled_gelu *g, size_t from, size_t to) {
    size_t width = g->width;
    float *sums = g->sums + from / CHUNK * width;
    memset(sums, 0, width * sizeof *sums);
    for (size_t row = from; row < to; row++) {
        for (size_t i = 0; i < width; i += LANES) {
            size_t at = row * width + i, left = width - i;
            vec u = load(g->u + at, left), bell = exponential(-u * u);
            vec du = load(g->dy + at, left) * (gate_of(u, bell) + 1.12837917f * u * bell);
            store(g->du + at, du, left);
            store(sums + i, load(sums + i, left) + du, left);
        }
    }
}

static TARGET void add_norm(const struct add_norm *n, size_t from, size_t to) {
    size_t width = n->width;
    for (size_t row = from; row < to; row++) {
        const float *x = n->x + row * width;
        float *y = n->y + row * width, *out = n->sum ? n->sum + row * width : y;
        vec total = {0};
        for (size_t i = 0; i < width; i += LANES) {
            size_t left = width - i;
            vec v = load(x + i, left);
            if (n->keep)
                v *= factors(n->keep + row * width + i, left, n->scale);
            if (n->residual)
                v += load(n->residual + row * width + i, left);
            store(out + i, v, left);
            total += v;
        }
        float mean = sum_of(total) / width;
        vec squares = {0};
        for (size_t i = 0; i < width; i += LANES) {
            vec v = first(load(out + i, width - i) - mean, width - i);
            squares += v * v;
        }
        float inverse = 1 / sqrtf(sum_of(squares) / width + n->epsilon);
        for (size_t i = 0; i < width; i += LANES) {
            size_t left = width - i;
            store(y + i, (load(out + i, left) - mean) * inverse * load(n->gamma + i, left) + load(n->beta + i, left), left);
        }
        n->moments[2 * row] = mean;
        n->moments[2 * row + 1] = inverse;
    }
}

static TARGET void add_norm_grad(const struct add_norm *n, size_t from, size_t to) {
    size_t width = n->width;
    float *dgamma = n->sums + from / CHUNK * 3 * width, *dbeta = dgamma + width, *dbias = dbeta + width;
    memset(dgamma, 0, 3 * width * sizeof *dgamma);
    for (size_t row = from; row < to; row++) {
        const float *dy = n->dy + row * width, *sum = n->sum + row * width;
        float *dsum = n->dsum + row * width;
        float mean = n->moments[2 * row], inverse = n->moments[2 * row + 1];
        vec hs = {0}, products = {0};
        for (size_t i = 0; i < width; i += LANES) {
            size_t left = width - i;
            vec d = load(dy + i, left), unit = (load(sum + i, left) - mean) * inverse, h = d * load(n->gamma + i, left);
            hs += h;
            products += h * unit;
            store(dgamma + i, load(dgamma + i, left) + d * unit, left);
            store(dbeta + i, load(dbeta + i, left) + d, left);
        }
        float h_mean = sum_of(hs) / width, product_mean = sum_of(products) / width;
        for (size_t i = 0; i < width; i += LANES) {
            size_t left = width - i;
            vec unit = (load(sum + i, left) - mean) * inverse, h = load(dy + i, left) * load(n->gamma + i, left);
            vec d = (h - h_mean - unit * product_mean) * inverse;
            store(dsum + i, d, left);
            if (n->dx) {
                d *= factors(n->keep + row * width + i, left, n->scale);
                store(n->dx + row * width + i, d, left);
            }
            store(dbias + i, load(dbias + i, left) + d, left);
        }
    }
}

static TARGET void adamw(const struct adamw *s, float *weights, const float *grads, float *first_moments, float *second_moments, size_t count) {
    for (size_t i = 0; i < count; i += LANES) {
        size_t left = count - i;
        vec g = load(grads + i, left) * s->scale;
        vec m = load(first_moments + i, left) * s->beta1 + g * s->rest1;
        vec v = load(second_moments + i, left) * s->beta2 + g * s->rest2 * g;
        vec w = load(weights + i, left) * s->keep - m * s->rate / (ROOT(v) * s->root + s->epsilon);
        store(first_moments + i, m, left);
        store(second_moments + i, v, left);
        store(weights + i, w, left);
    }
}

// QUERY_BLOCK is how many queries of a head are worked on at a time in training.
enum { QUERY_BLOCK = 64 };

static size_t attention_room(const struct self_attention *a) {
    size_t wide = padded(a->head_width), across = padded(a->keys);
    return across + 3 * wide * across + 2 * QUERY_BLOCK * (wide + across);
}

// live_keys writes -1 for a key that is attended to, else 0, up to whole LANES, and gives how
// many keys there are up to the last of them.
static TARGET size_t live_keys(const struct self_attention *a, size_t text, int32_t *live) {
    const int64_t *mask = a->mask + text * a->keys;
    size_t count = 0;
    for (size_t k = 0; k < a->keys; k++)
        if (mask[k])
            count = k + 1;
    bool all = count == 0;
    if (all)
        count = a->keys;
    for (size_t k = 0; k < padded(count); k++)
        live[k] = k < count && (all || mask[k]) ? -1 : 0;
    return count;
}

// weigh makes a row of scores the weights of the softmax, but for the factor softmax[1] where it is to
// find the two numbers of softmax itself.
INLINE TARGET void weigh(float *row, const int32_t *live, size_t keys, float *softmax, bool find) {
    if (find) {
        vec largest = splat(-INFINITY);
        for (size_t k = 0; k < keys; k += LANES)
            largest = larger(largest, where(load_bits(live + k), load(row + k, LANES), splat(-INFINITY)));
        softmax[0] = largest_of(largest);
    }
    vec sum = {0};
    for (size_t k = 0; k < keys; k += LANES) {
        vec weight = where(load_bits(live + k), exponential(load(row + k, LANES) - softmax[0]), (vec){0});
        if (!find)
            weight *= softmax[1];
        store(row + k, weight, LANES);
        sum += weight;
    }
    if (find)
        softmax[1] = 1 / sum_of(sum);
}

static TARGET void self_attention(const struct self_attention *a, size_t text, size_t head, float *room) {
    size_t columns = a->head_width, wide = padded(columns), at = head * columns;
    int32_t *live = (int32_t *)room;
    size_t keys = live_keys(a, text, live), across = padded(keys);
    float *k = room + across, *v = k + wide * across, *q = v + across * wide, *weights = q + QUERY_BLOCK * wide;
    turn_rows(k, a->k + text * a->keys * a->width + at, a->width, keys, columns);
    copy_rows(v, a->v + text * a->keys * a->width + at, a->width, keys, columns);
    for (size_t from = 0; from < a->queries; from += QUERY_BLOCK) {
        size_t count = a->queries - from < QUERY_BLOCK ? a->queries - from : QUERY_BLOCK;
        size_t row = text * a->queries + from, weight = (text * a->heads + head) * a->queries + from;
        copy_rows(q, a->q + row * a->width + at, a->width, count, columns);
        product(weights, across, count, across, q, wide, 1, k, across, columns, true, false);
        for (size_t i = 0; i < count; i++) {
            float *line = weights + i * across, *softmax = a->softmax + 2 * (weight + i);
            weigh(line, live, keys, softmax, true);
            const uint8_t *keep = a->keep ? a->keep + (weight + i) * a->keys : NULL;
            for (size_t j = 0; j < keys; j += LANES) {
                vec w = load(line + j, LANES) * softmax[1];
                store(line + j, keep ? w * factors(keep + j, keys - j, a->scale) : w, LANES);
            }
        }
        product(a->context + row * a->width + at, a->width, count, columns, weights, across, 1, v, wide, keys, true, false);
    }
}

// add_rows adds rows up.
static TARGET void add_rows(float *sum, const float *from, size_t from_row, size_t rows, size_t columns) {
    for (size_t i = 0; i < columns; i += LANES) {
        vec total = {0};
        for (size_t r = 0; r < rows; r++)
            total += load(from + r * from_row + i, columns - i);
        store(sum + i, total, columns - i);
    }
}

static TARGET void self_attention_grad(const struct self_attention *a, size_t text, size_t head, float *room) {
    size_t columns = a->head_width, wide = padded(columns), at = head * columns, width = a->width;
    int32_t *live = (int32_t *)room;
    size_t keys = live_keys(a, text, live), across = padded(keys);
    float *k_turned = room + across, *v_turned = k_turned + wide * across, *k = v_turned + wide * across, *q = k + across * wide;
    float *dcontext = q + QUERY_BLOCK * wide, *weights = dcontext + QUERY_BLOCK * wide, *dscores = weights + QUERY_BLOCK * across;
    size_t key = text * a->keys * width + at;
    turn_rows(k_turned, a->k + key, width, keys, columns);
    turn_rows(v_turned, a->v + key, width, keys, columns);
    copy_rows(k, a->k + key, width, keys, columns);
    for (size_t from = 0; from < a->queries; from += QUERY_BLOCK) {
        size_t count = a->queries - from < QUERY_BLOCK ? a->queries - from : QUERY_BLOCK;
        size_t row = (text * a->queries + from) * width + at, weight = (text * a->heads + head) * a->queries + from;
        copy_rows(q, a->q + row, width, count, columns);
        copy_rows(dcontext, a->dcontext + row, width, count, columns);
        float along[QUERY_BLOCK]; // the sums of weights times their gradients, which are those of context times dcontext
        for (size_t i = 0; i < count; i++) { // first, as one row need not wait for another's context here
            vec sum = {0};
            for (size_t c = 0; c < columns; c += LANES)
                sum += load(dcontext + i * wide + c, LANES) * load(a->context + row + i * width + c, columns - c);
            along[i] = sum_of(sum);
        }
        product(weights, across, count, across, q, wide, 1, k_turned, across, columns, true, false);
        product(dscores, across, count, across, dcontext, wide, 1, v_turned, across, columns, true, false);
        for (size_t i = 0; i < count; i++) {
            float *line = weights + i * across, *dline = dscores + i * across;
            weigh(line, live, keys, a->softmax + 2 * (weight + i), false);
            const uint8_t *keep = a->keep ? a->keep + (weight + i) * a->keys : NULL;
            for (size_t j = 0; j < keys; j += LANES) {
                vec w = load(line + j, LANES), factor = keep ? factors(keep + j, keys - j, a->scale) : splat(1);
                store(dline + j, w * (load(dline + j, LANES) * factor - along[i]), LANES);
                store(line + j, w * factor, LANES);
            }
        }
        product(a->dq + row, width, count, columns, dscores, across, 1, k, wide, keys, true, false);
        product(a->dk + key, width, keys, columns, dscores, 1, across, q, wide, count, true, from > 0);
        product(a->dv + key, width, keys, columns, weights, 1, across, dcontext, wide, count, true, from > 0);
    }
    for (size_t i = keys; i < a->keys; i++) {
        memset(a->dk + key + i * width, 0, columns * sizeof(float));
        memset(a->dv + key + i * width, 0, columns * sizeof(float));
    }
    float *sums = a->sums + text * 3 * width + at;
    add_rows(sums, a->dq + text * a->queries * width + at, width, a->queries, columns);
    add_rows(sums + width, a->dk + key, width, keys, columns);
    add_rows(sums + 2 * width, a->dv + key, width, keys, columns);
}
