addEventListener('DOMContentLoaded', () => {
  setTimeout(() => {
    document.getElementById('out').innerHTML = '<h2>' + unescape(location.hash) + '</h2>';
  }, 50);
});
